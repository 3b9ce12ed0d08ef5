//! The subjects of the comparison, and how each is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use onnward_harness::HarnessError;
use onnward_models::Family;
use serde::Serialize;

use crate::comparison::peers::Environment;
use crate::comparison::workload::Protocol;

/// A subject of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The limit of the HTTP stack: it computes nothing.
    Bare,
    /// Onnward with its defaults: each model on the faster runtime.
    Onnward,
    /// Onnward with ONNX Runtime.
    OnnwardOnnxruntime,
    /// Onnward with tract.
    OnnwardTract,
    /// FastAPI, ONNX Runtime, a pipeline converted by skl2onnx.
    FastapiOnnxruntime,
    /// FastAPI, pandas and a scikit-learn pipeline.
    FastapiSklearn,
    /// MLServer with its scikit-learn runtime.
    Mlserver,
}

impl Subject {
    /// All subjects, in the order of tables.
    pub const ALL: [Self; 7] = [
        Self::Bare,
        Self::Onnward,
        Self::OnnwardOnnxruntime,
        Self::OnnwardTract,
        Self::FastapiOnnxruntime,
        Self::FastapiSklearn,
        Self::Mlserver,
    ];

    /// Returns the name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Bare => "bare axum handler",
            Self::Onnward => "Onnward",
            Self::OnnwardOnnxruntime => "Onnward, ONNX Runtime",
            Self::OnnwardTract => "Onnward, tract",
            Self::FastapiOnnxruntime => "FastAPI + ONNX Runtime",
            Self::FastapiSklearn => "FastAPI + scikit-learn",
            Self::Mlserver => "MLServer, scikit-learn",
        }
    }

    /// Returns the folder of a Python subject's requirements.
    pub fn peer(self) -> Option<&'static str> {
        match self {
            Self::Bare | Self::Onnward | Self::OnnwardOnnxruntime | Self::OnnwardTract => None,
            Self::FastapiOnnxruntime => Some("fastapi-onnxruntime"),
            Self::FastapiSklearn => Some("fastapi-sklearn"),
            Self::Mlserver => Some("mlserver"),
        }
    }

    /// Returns the backend, for Onnward.
    pub fn backend(self) -> Option<&'static str> {
        match self {
            Self::Onnward => Some("auto"),
            Self::OnnwardOnnxruntime => Some("onnxruntime"),
            Self::OnnwardTract => Some("tract"),
            _ => None,
        }
    }

    /// Returns whether the subject scores with a model, so that the model's family matters.
    pub fn has_model(self) -> bool {
        self != Self::Bare
    }

    /// Returns the format of its requests.
    pub fn protocol(self) -> Protocol {
        if self == Self::Mlserver { Protocol::Columns } else { Protocol::Named }
    }

    /// Returns the path to which this many rows are posted.
    pub fn path(self, rows: usize) -> &'static str {
        match self {
            Self::Mlserver => "/v2/models/churn/infer",
            // A route for each form spares pydantic the guess which one came.
            Self::FastapiOnnxruntime | Self::FastapiSklearn if rows > 1 => "/predict/batch",
            _ => "/predict",
        }
    }

    /// Describes the subject's setup, for the report.
    pub fn settings(self) -> &'static str {
        match self {
            Self::Bare => "axum, hyper, tokio and serde as they come; TCP_NODELAY; no middleware",
            Self::Onnward | Self::OnnwardOnnxruntime | Self::OnnwardTract => {
                "its defaults, but ONNWARD_LOG__LEVEL=warn: no access log, as with the peers"
            }
            Self::FastapiOnnxruntime => {
                "uvicorn with uvloop and httptools, one process for the one core, no access log; async handlers; \
                 intra_op_num_threads=1; one input a column"
            }
            Self::FastapiSklearn => {
                "uvicorn with uvloop and httptools, one process for the one core, no access log; async handlers; \
                 a pandas table for each request; one thread for BLAS and OpenMP"
            }
            Self::Mlserver => {
                "debug off; parallel_workers=0 for the one core; adaptive batching of up to 64 requests within 1 ms; \
                 REST, its own protocol of columns with the pandas codec; one thread for BLAS and OpenMP"
            }
        }
    }
}

/// The programs and folders from which subjects are started.
#[derive(Debug, Clone)]
pub struct Files {
    /// The engine's program.
    pub engine: PathBuf,
    /// This program, which is also the bare handler.
    pub bench: PathBuf,
    /// The folder of the peers' sources.
    pub peers: PathBuf,
    /// The folder for everything that is generated.
    pub work: PathBuf,
    /// More environment variables of the engine.
    pub engine_environment: Vec<(String, String)>,
}

impl Files {
    /// Returns the model repository with one family's model.
    pub fn repository(&self, family: Family) -> PathBuf {
        self.work.join("repositories").join(family.name())
    }

    /// Returns the model repository with a model of each family.
    pub fn both(&self) -> PathBuf {
        self.work.join("repositories").join("both")
    }

    /// Returns the folder of the peers' models.
    pub fn peer_models(&self) -> PathBuf {
        self.work.join("peer-models")
    }

    /// Returns a file of the peers' models.
    pub fn peer_model(&self, family: Family, file: &str) -> PathBuf {
        self.peer_models().join(family.name()).join(file)
    }

    /// Returns the command that starts a subject on a port of 127.0.0.1. `second` and `third` are more ports
    /// that it may need.
    ///
    /// # Errors
    /// [`HarnessError::System`] if its settings cannot be put in place.
    pub fn command(
        &self,
        subject: Subject,
        family: Family,
        environment: Option<&Environment>,
        ports: [u16; 3],
    ) -> Result<Command, HarnessError> {
        let [port, second, third] = ports;
        let program =
            |name: &str| environment.map_or_else(|| PathBuf::from(name), |found| found.program(name));
        let mut command = match subject {
            Subject::Bare => {
                let mut command = Command::new(&self.bench);
                command.args(["bare", "--listen", &format!("127.0.0.1:{port}")]);
                command
            }
            Subject::Onnward | Subject::OnnwardOnnxruntime | Subject::OnnwardTract => {
                self.engine_command(subject, &self.repository(family), port)
            }
            Subject::FastapiOnnxruntime | Subject::FastapiSklearn => {
                let peer = self.peers.join(subject.peer().unwrap_or_default());
                let is_onnx = subject == Subject::FastapiOnnxruntime;
                let model = self.peer_model(family, if is_onnx { "model.onnx" } else { "model.joblib" });
                let mut command = Command::new(program("uvicorn"));
                command.args(["app:app", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]);
                command.arg("--app-dir").arg(peer).args(["--port", &port.to_string()]);
                command.env("MODEL", absolute(&model)?).env("PYTHONPATH", &self.peers);
                command
            }
            Subject::Mlserver => {
                let model = self.peer_model(family, "model.joblib");
                let mut command = Command::new(program("mlserver"));
                command.arg("start").arg(self.peers.join("mlserver"));
                command.env("MLSERVER_MODEL_URI", absolute(&model)?);
                command.env("MLSERVER_HTTP_PORT", port.to_string());
                command.env("MLSERVER_GRPC_PORT", second.to_string());
                command.env("MLSERVER_METRICS_PORT", third.to_string());
                command
            }
        };
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads, "1");
        }
        // Else Python would write its compiled sources beside the peers'; pip has compiled the libraries.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// Returns the command that starts the engine on a repository.
    pub fn engine_command(&self, subject: Subject, repository: &Path, port: u16) -> Command {
        let mut command = Command::new(&self.engine);
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--repository"]).arg(repository);
        command.args(["--backend", subject.backend().unwrap_or("auto")]);
        command.env("ONNWARD_CACHE__FOLDER", self.work.join("engine-cache"));
        command.env("ONNWARD_LOG__LEVEL", "warn");
        command.envs(self.engine_environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Returns what must be installed to run a subject, without Python itself and without models.
    pub fn installed<'a>(
        &'a self,
        subject: Subject,
        environment: Option<&'a Environment>,
        library: Option<&'a Path>,
    ) -> Vec<&'a Path> {
        match subject {
            Subject::Bare => vec![&self.bench],
            Subject::OnnwardTract => vec![&self.engine],
            Subject::Onnward | Subject::OnnwardOnnxruntime => {
                library.into_iter().chain([self.engine.as_path()]).collect()
            }
            _ => environment.iter().map(|environment| environment.folder.as_path()).collect(),
        }
    }

    /// Returns the model that a subject serves; `None` for the bare handler.
    pub fn model(&self, subject: Subject, family: Family) -> Option<PathBuf> {
        if subject.backend().is_some() {
            return Some(self.repository(family));
        }
        subject.peer().map(|_| self.peer_models().join(family.name()))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, HarnessError> {
    std::path::absolute(path).map_err(HarnessError::system(format!("find {}", path.display())))
}
