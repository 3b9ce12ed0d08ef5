mod answers;
mod bodies;
mod connections;
mod documents;
mod refusals;
mod status;
mod versions;
