use std::time::Instant;

use ndarray::Array2;
use onnward_schemas::{Binary, Criterion, CrossValidation, Evaluation, Metadata, Provenance, Schema, Task};

use crate::comparison::{Baseline, Candidate, Comparison};
use crate::curves::curves;
use crate::dataset::{Dataset, LabelledRows};
use crate::estimator::{Estimator, UnsupportedTask};
use crate::golden::golden;
use crate::importance::permutation_importance;
use crate::labels::{ClassLabels, Labels, Scores};
use crate::metrics::{cross_validation, figures};
use crate::parameters::CandidateParams;
use crate::pipeline::{Pipeline, TrainedModel};
use crate::plan::{Activity, Progress, TrainingError, TrainingPlan};
use crate::profile::profile;
use crate::split::{held_out, stratified_folds};

/// The models of a training run, and their comparison.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    /// The comparison, best candidate first.
    pub comparison: Comparison,
    /// The fitted models, in the comparison's order.
    pub models: Vec<TrainedModel>,
}

/// Trains and compares the candidates of a plan.
///
/// Each is cross-validated on the training rows. They are ranked by the mean of the task's [`Criterion`], and
/// refitted on all training rows. Only then are the held-out rows scored, once.
///
/// The models depend only on the data, the plan and the versions of the libraries, and not on the number of
/// cores. `progress` is called from several threads.
///
/// # Errors
/// [`TrainingError`] if the plan does not fit the data, or a model cannot be fitted.
///
/// # Examples
/// An artifact carries golden rows: inputs with the probability that the trainer computed. A runtime is
/// verified on them before it serves the model.
///
/// ```
/// use std::path::Path;
///
/// use onnward_models::{Dataset, ForestParams, OnInvalid, TrainingPlan, train};
/// # use onnward_schemas::SchemaFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let schema = SchemaFile::parse(
/// #     r#"
/// #     name = "shop"
/// #     version = 1
/// #     label = { column = "left", positive = "yes", negative = "no" }
/// #     [[features]]
/// #     name = "age"
/// #     type = "numeric"
/// #     "#,
/// # )?
/// # .schema;
/// let rows = (18..78).map(|age| format!("{age},{}\n", if age % 3 < 2 && age < 50 { "yes" } else { "no" }));
/// let table = format!("age,left\n{}", rows.collect::<String>());
/// let data = Dataset::parse(table.as_bytes(), Path::new("shop.csv"), &schema, OnInvalid::Fail)?;
///
/// let forest = ForestParams { trees: 5, ..ForestParams::default() };
/// let plan = TrainingPlan { candidates: vec![forest.into()], folds: 2, ..TrainingPlan::default() };
/// let run = train(&data, &plan, &|_| ())?;
///
/// let golden = &run.models[0].metadata.golden;
/// assert!(golden.rows.len() > 30);
/// assert!(golden.rows.iter().all(|row| row.prediction.probability().is_some()));
/// # Ok(())
/// # }
/// ```
pub fn train(
    data: &Dataset,
    plan: &TrainingPlan,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<TrainingRun, TrainingError> {
    let criterion = plan.check(data)?;
    progress(Progress::Started { steps: plan.steps(data) });
    let split = data.split(plan.test_fraction, plan.seed);
    let train = data.select(&split.train);

    let mut ranked = Vec::new();
    for params in &plan.candidates {
        ranked.push((params, cross_validate(params, data, &train, plan, criterion, progress)?));
    }
    let gain = |validation: &CrossValidation| criterion.gain(validation.mean, 0.0);
    ranked.sort_by(|(_, a), (_, b)| gain(b).total_cmp(&gain(a)));

    let test = data.select(&split.test);
    let context = Context { data, plan, criterion, train: &train, test: &test, progress };
    let selected = ranked.first().ok_or(TrainingError::NoCandidates)?.0.estimator();
    let mut run = TrainingRun { comparison: context.comparison(selected)?, models: Vec::new() };
    for (params, validation) in ranked {
        let (candidate, model) = context.finish(params, validation)?;
        run.comparison.candidates.push(candidate);
        run.models.push(model);
    }
    Ok(run)
}

fn cross_validate(
    params: &CandidateParams,
    data: &Dataset,
    train: &LabelledRows,
    plan: &TrainingPlan,
    criterion: Criterion,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<CrossValidation, TrainingError> {
    let mut folds = Vec::with_capacity(plan.folds);
    for (at, fold) in stratified_folds(&train.labels, plan.folds, plan.seed).into_iter().enumerate() {
        let estimator = params.estimator();
        let activity = Activity::CrossValidating { estimator, fold: at + 1, folds: plan.folds };
        let advance = |steps| progress(Progress::Advanced { steps: steps as u64, activity });
        let rows = train.select(&fold.train);
        let fitted = Pipeline::fit_rows(
            &data.schema,
            rows.features.view(),
            &rows.labels,
            params,
            plan.seed,
            &advance,
        )?;
        drop(rows);
        folds.push(fitted.criterion(&train.select(&fold.test)));
    }
    Ok(cross_validation(criterion, folds))
}

/// Returns the threshold of a binary label. Other figures have none.
fn threshold_of(schema: &Schema) -> f64 {
    schema.binary().map_or(Binary::THRESHOLD, |binary| binary.threshold)
}

/// Predicts the same for each of `rows`, without a look at the features: the shares of the classes among the labels,
/// or the mean of the numbers. Returns what it is, in words, too.
fn baseline(labels: &Labels, rows: usize) -> (&'static str, Scores) {
    let share = |part: u64, of: usize| part as f64 / of.max(1) as f64;
    match labels {
        Labels::Binary(labels) => {
            let positives = labels.iter().filter(|label| **label).count() as u64;
            ("the share of positives", Scores::Probabilities(vec![share(positives, labels.len()); rows]))
        }
        Labels::Classes(labels @ ClassLabels { indices, classes }) => {
            let counts = labels.counts();
            let of = |(_, class): (usize, usize)| share(counts[class], indices.len());
            (
                "the most frequent class",
                Scores::ClassProbabilities(Array2::from_shape_fn((rows, *classes), of)),
            )
        }
        Labels::Numbers(labels) => {
            let mean = labels.iter().sum::<f64>() / labels.len().max(1) as f64;
            ("the mean", Scores::Numbers(vec![mean; rows]))
        }
    }
}

/// The inputs of the last part of a run.
struct Context<'a> {
    data: &'a Dataset,
    plan: &'a TrainingPlan,
    criterion: Criterion,
    train: &'a LabelledRows,
    test: &'a LabelledRows,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Context<'_> {
    /// Starts the comparison, without its candidates.
    fn comparison(&self, selected: Estimator) -> Result<Comparison, TrainingError> {
        let schema = &self.data.schema;
        let (name, scores) = baseline(&self.train.labels, self.test.labels.len());
        Ok(Comparison {
            schema: schema.name.clone(),
            label: schema.label.column.clone(),
            task: schema.label.task.kind(),
            threshold: schema.binary().map(|binary| binary.threshold),
            classes: schema.label.task.classes().to_vec(),
            seed: self.plan.seed,
            data: self.data.summary(),
            train_rows: self.train.labels.len(),
            test_rows: self.test.labels.len(),
            selected,
            baseline: Baseline {
                name,
                test: self.of_task(selected, figures(&self.test.labels, &scores, threshold_of(schema)))?,
            },
            candidates: Vec::new(),
        })
    }

    /// Returns what a model's predictions of the held-out rows say, which are of the labels' task.
    fn of_task<T>(&self, estimator: Estimator, said: Option<T>) -> Result<T, TrainingError> {
        Ok(said.ok_or(UnsupportedTask { estimator, task: self.test.labels.task() })?)
    }

    /// Refits a candidate on all training rows and evaluates it on the held-out ones.
    fn finish(
        &self,
        params: &CandidateParams,
        cross_validation: CrossValidation,
    ) -> Result<(Candidate, TrainedModel), TrainingError> {
        let Self { data, plan, criterion, train, test, progress } = self;
        let (schema, seed, estimator) = (&data.schema, plan.seed, params.estimator());
        let advance = |activity| move |steps| progress(Progress::Advanced { steps: steps as u64, activity });

        let started = Instant::now();
        let (features, fitting) = (train.features.view(), advance(Activity::Fitting { estimator }));
        let pipeline = Pipeline::fit_rows(schema, features, &train.labels, params, seed, &fitting)?;
        let fit_seconds = started.elapsed().as_secs_f64();

        let scores = pipeline.predict(test.features.view());
        let figures = figures(&test.labels, &scores, threshold_of(schema));
        let figures = self.of_task(estimator, figures)?;
        let evaluating = advance(Activity::Evaluating { estimator });
        let candidate = Candidate {
            estimator,
            parameters: params.to_map(),
            cross_validation: cross_validation.clone(),
            test: figures.clone(),
            curves: self.of_task(estimator, curves(schema, &test.labels, &scores))?,
            importance: permutation_importance(schema, &pipeline, test, *criterion, seed, &evaluating),
            fit_seconds,
        };
        let evaluation = Evaluation {
            train_rows: train.labels.len(),
            test_rows: test.labels.len(),
            cross_validation,
            test: figures,
            threshold: None,
        };
        Ok((candidate, self.describe(params, pipeline, evaluation, (&scores, &test.labels))))
    }

    /// Puts a model and its metadata together; `held_out` are its predictions for the held-out rows, and their labels.
    fn describe(
        &self,
        params: &CandidateParams,
        pipeline: Pipeline,
        evaluation: Evaluation,
        held_out: (&Scores, &Labels),
    ) -> TrainedModel {
        let schema = &self.data.schema;
        let profile = profile(schema, self.train.features.view(), held_out.0, held_out.1);
        let golden = golden(schema, &profile, &pipeline, self.plan.seed);
        let versions = [("onnward", env!("CARGO_PKG_VERSION")), params.solver.library()];
        let own = |(name, version): (&str, &str)| (name.to_owned(), version.to_owned());
        let metadata = Metadata {
            schema: schema.clone(),
            family: params.estimator().name().to_owned(),
            parameters: params.to_map(),
            evaluation,
            profile,
            golden,
            provenance: Provenance {
                data_sha256: self.data.sha256.clone(),
                seed: self.plan.seed,
                versions: versions.into_iter().map(own).collect(),
            },
        };
        TrainedModel { metadata, preprocessor: pipeline.preprocessor, model: pipeline.model }
    }
}

impl TrainingPlan {
    /// Rejects a plan that does not fit the table. Returns the figure by which its models are compared.
    fn check(&self, data: &Dataset) -> Result<Criterion, TrainingError> {
        let task = data.labels.task();
        let first = self.candidates.first().ok_or(TrainingError::NoCandidates)?.estimator();
        for params in &self.candidates {
            params.check()?;
            let estimator = params.estimator();
            if !estimator.fits(task) {
                return Err(UnsupportedTask { estimator, task }.into());
            }
        }
        if self.folds < 2 {
            return Err(TrainingError::Folds(self.folds));
        }
        if !(self.test_fraction > 0.0 && self.test_fraction < 1.0) {
            return Err(TrainingError::TestFraction(self.test_fraction));
        }
        if self.folds > data.rows() {
            return Err(TrainingError::TooManyFolds { folds: self.folds, rows: data.rows() });
        }
        self.check_rows(data)?;
        Ok(Criterion::of(task).ok_or(UnsupportedTask { estimator: first, task })?)
    }

    /// Rejects a table of which a class, or the whole where there are none, has too few rows for every fold.
    fn check_rows(&self, data: &Dataset) -> Result<(), TrainingError> {
        let needed = self.rows_needed();
        let values: Vec<Option<&String>> = match &data.schema.label.task {
            Task::Binary(binary) => vec![Some(&binary.negative), Some(&binary.positive)],
            Task::Classes(classes) => classes.values.iter().map(Some).collect(),
            Task::Number | Task::Raw(_) => vec![None],
        };
        for (stratum, value) in data.labels.strata().iter().zip(values) {
            let rows = stratum.len();
            if rows < needed {
                let (folds, test_fraction) = (self.folds, self.test_fraction);
                return Err(TrainingError::TooFewRows {
                    label: value.cloned(),
                    rows,
                    needed,
                    folds,
                    test_fraction,
                });
            }
        }
        Ok(())
    }

    /// Returns how many rows of a class there must be so that every fold has one after some are held out.
    fn rows_needed(&self) -> usize {
        let enough = |rows: usize| rows - held_out(rows, self.test_fraction) >= self.folds;
        let mut most = self.folds;
        while !enough(most) && most < usize::MAX {
            most = most.saturating_mul(2);
        }
        let mut fewest = self.folds;
        // More rows never leave fewer, so the first number that is enough is found by bisection.
        while fewest < most {
            let middle = fewest + (most - fewest) / 2;
            if enough(middle) { most = middle } else { fewest = middle + 1 }
        }
        fewest
    }

    fn steps(&self, data: &Dataset) -> u64 {
        let of = |params: &CandidateParams| params.steps() * (self.folds + 1) + data.schema.features.len();
        self.candidates.iter().map(of).sum::<usize>() as u64
    }
}
