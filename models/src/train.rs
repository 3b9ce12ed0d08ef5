use std::time::Instant;

use onnward_schemas::{Binary, CrossValidation, Evaluation, Metadata, Provenance, Schema};

use crate::comparison::{Candidate, Comparison};
use crate::curves::curves;
use crate::dataset::{Dataset, LabelledRows};
use crate::estimator::Estimator;
use crate::golden::golden;
use crate::importance::permutation_importance;
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
/// Each is cross-validated on the training rows. They are ranked by their mean area under the ROC curve, and
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
/// assert!(golden.rows.iter().all(|row| (0.0..=1.0).contains(&row.probability)));
/// # Ok(())
/// # }
/// ```
pub fn train(
    data: &Dataset,
    plan: &TrainingPlan,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<TrainingRun, TrainingError> {
    plan.check(data)?;
    progress(Progress::Started { steps: plan.steps(data) });
    let split = data.split(plan.test_fraction, plan.seed);
    let train = data.select(&split.train);

    let mut ranked = Vec::new();
    for params in &plan.candidates {
        ranked.push((params, cross_validate(params, data, &train, plan, progress)?));
    }
    ranked.sort_by(|(_, a), (_, b)| b.roc_auc_mean.total_cmp(&a.roc_auc_mean));

    let test = data.select(&split.test);
    let context = Context { data, plan, train: &train, test: &test, progress };
    let selected = ranked.first().ok_or(TrainingError::NoCandidates)?.0.estimator();
    let mut run = TrainingRun { comparison: context.comparison(selected), models: Vec::new() };
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
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<CrossValidation, TrainingError> {
    let mut areas = Vec::with_capacity(plan.folds);
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
        areas.push(fitted.roc_auc(&train.select(&fold.test)));
    }
    Ok(cross_validation(areas))
}

/// Returns the threshold of a dataset's label, which is binary.
fn threshold_of(schema: &Schema) -> f64 {
    schema.binary().map_or(Binary::THRESHOLD, |binary| binary.threshold)
}

/// The inputs of the last part of a run.
struct Context<'a> {
    data: &'a Dataset,
    plan: &'a TrainingPlan,
    train: &'a LabelledRows,
    test: &'a LabelledRows,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Context<'_> {
    /// Starts the comparison, without its candidates.
    fn comparison(&self, selected: Estimator) -> Comparison {
        let schema = &self.data.schema;
        Comparison {
            schema: schema.name.clone(),
            label: schema.label.column.clone(),
            threshold: threshold_of(schema),
            seed: self.plan.seed,
            data: self.data.summary(),
            train_rows: self.train.labels.len(),
            test_rows: self.test.labels.len(),
            selected,
            candidates: Vec::new(),
        }
    }

    /// Refits a candidate on all training rows and evaluates it on the held-out ones.
    fn finish(
        &self,
        params: &CandidateParams,
        cross_validation: CrossValidation,
    ) -> Result<(Candidate, TrainedModel), TrainingError> {
        let Self { data, plan, train, test, progress } = self;
        let (schema, seed, estimator) = (&data.schema, plan.seed, params.estimator());
        let advance = |activity| move |steps| progress(Progress::Advanced { steps: steps as u64, activity });

        let started = Instant::now();
        let (features, fitting) = (train.features.view(), advance(Activity::Fitting { estimator }));
        let pipeline = Pipeline::fit_rows(schema, features, &train.labels, params, seed, &fitting)?;
        let fit_seconds = started.elapsed().as_secs_f64();

        let probabilities = pipeline.predict(test.features.view());
        let figures = figures(&test.labels, &probabilities, threshold_of(schema));
        let evaluating = advance(Activity::Evaluating { estimator });
        let candidate = Candidate {
            estimator,
            parameters: params.to_map(),
            cross_validation: cross_validation.clone(),
            test: figures,
            curves: curves(&test.labels, &probabilities),
            importance: permutation_importance(schema, &pipeline, test, seed, &evaluating),
            fit_seconds,
        };
        let evaluation = Evaluation {
            train_rows: train.labels.len(),
            test_rows: test.labels.len(),
            cross_validation,
            test: figures,
            threshold: None,
        };
        Ok((candidate, self.describe(params, pipeline, evaluation, &probabilities)))
    }

    /// Puts a model and its metadata together; `held_out` are its probabilities for the held-out rows.
    fn describe(
        &self,
        params: &CandidateParams,
        pipeline: Pipeline,
        evaluation: Evaluation,
        held_out: &[f64],
    ) -> TrainedModel {
        let schema = &self.data.schema;
        let profile = profile(schema, self.train.features.view(), held_out);
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
    fn check(&self, data: &Dataset) -> Result<(), TrainingError> {
        if self.candidates.is_empty() {
            return Err(TrainingError::NoCandidates);
        }
        for params in &self.candidates {
            params.check()?;
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
        let (positives, needed) = (data.positives(), self.rows_needed());
        // A dataset has a binary label.
        let sides = data
            .schema
            .binary()
            .map(|label| [(positives, &label.positive), (data.rows() - positives, &label.negative)]);
        for (rows, label) in sides.into_iter().flatten() {
            if rows < needed {
                let (label, folds, test_fraction) = (label.clone(), self.folds, self.test_fraction);
                return Err(TrainingError::TooFewRows { label, rows, needed, folds, test_fraction });
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
