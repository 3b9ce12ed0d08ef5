use std::time::Instant;

use onnward_schemas::{CrossValidation, Evaluation, Metadata, Provenance};

use crate::comparison::{Candidate, Comparison};
use crate::curves::curves;
use crate::dataset::{Dataset, LabelledRows};
use crate::family::Family;
use crate::golden::golden;
use crate::importance::permutation_importance;
use crate::metrics::{cross_validation, figures};
use crate::parameters::CandidateParams;
use crate::pipeline::{Pipeline, TrainedModel};
use crate::plan::{Activity, Progress, TrainingError, TrainingPlan};
use crate::profile::profile;
use crate::split::{held_out, stratified_folds};

/// What a training run made: the models and how they compare.
#[derive(Debug, Clone)]
pub struct TrainingRun {
    /// The comparison, best candidate first.
    pub comparison: Comparison,
    /// The fitted models, in the comparison's order.
    pub models: Vec<TrainedModel>,
}

/// Trains every candidate of the plan: cross-validates it on the training rows, ranks by the mean area under the ROC
/// curve, refits on all training rows, and only then scores the held-out rows, once.
///
/// The models depend on the data, the plan and the versions of the libraries alone: not on the number of cores.
/// `progress` is called from several threads.
///
/// # Errors
/// [`TrainingError`]: the plan does not fit the data, or a model cannot be fitted.
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
    let selected = ranked.first().ok_or(TrainingError::NoCandidates)?.0.family();
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
        let activity = Activity::CrossValidating { family: params.family(), fold: at + 1, folds: plan.folds };
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

/// What the last part of a run looks at.
struct Context<'a> {
    data: &'a Dataset,
    plan: &'a TrainingPlan,
    train: &'a LabelledRows,
    test: &'a LabelledRows,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Context<'_> {
    /// The comparison without its candidates.
    fn comparison(&self, selected: Family) -> Comparison {
        let schema = &self.data.schema;
        Comparison {
            schema: schema.name.clone(),
            label: schema.label.column.clone(),
            threshold: schema.threshold,
            seed: self.plan.seed,
            data: self.data.summary(),
            train_rows: self.train.labels.len(),
            test_rows: self.test.labels.len(),
            selected,
            candidates: Vec::new(),
        }
    }

    /// Refits a candidate on all training rows and judges it on the held-out ones.
    fn finish(
        &self,
        params: &CandidateParams,
        cross_validation: CrossValidation,
    ) -> Result<(Candidate, TrainedModel), TrainingError> {
        let Self { data, plan, train, test, progress } = self;
        let (schema, seed, family) = (&data.schema, plan.seed, params.family());
        let advance = |activity| move |steps| progress(Progress::Advanced { steps: steps as u64, activity });

        let started = Instant::now();
        let (features, fitting) = (train.features.view(), advance(Activity::Fitting { family }));
        let pipeline = Pipeline::fit_rows(schema, features, &train.labels, params, seed, &fitting)?;
        let fit_seconds = started.elapsed().as_secs_f64();

        let probabilities = pipeline.predict(test.features.view());
        let figures = figures(&test.labels, &probabilities, schema.threshold);
        let evaluating = advance(Activity::Evaluating { family });
        let candidate = Candidate {
            family,
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
        };
        Ok((candidate, self.describe(params, pipeline, evaluation, &probabilities)))
    }

    /// Describes a candidate that gives the held-out rows these probabilities.
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
        let versions = [("onnward", env!("CARGO_PKG_VERSION")), params.family().library()];
        let own = |(name, version): (&str, &str)| (name.to_owned(), version.to_owned());
        let metadata = Metadata {
            schema: schema.clone(),
            family: params.family().name().to_owned(),
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
        let (positives, label) = (data.positives(), &data.schema.label);
        let needed = self.rows_needed();
        for (rows, label) in [(positives, &label.positive), (data.rows() - positives, &label.negative)] {
            if rows < needed {
                let (label, folds, test_fraction) = (label.clone(), self.folds, self.test_fraction);
                return Err(TrainingError::TooFewRows { label, rows, needed, folds, test_fraction });
            }
        }
        Ok(())
    }

    /// The fewest rows of a class of which a row is left for every fold when some are held out.
    fn rows_needed(&self) -> usize {
        let enough = |rows: usize| rows - held_out(rows, self.test_fraction) >= self.folds;
        let mut most = self.folds;
        while !enough(most) && most < usize::MAX {
            most = most.saturating_mul(2);
        }
        let mut fewest = self.folds;
        // More rows never leave fewer: the first number that is enough can be found by halving.
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
