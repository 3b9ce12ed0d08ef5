use super::*;

mod api_keys;
mod claims;
mod doors;
mod key_sets;
mod published;
mod tokens;
