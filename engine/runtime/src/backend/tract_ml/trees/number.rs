use std::iter::Sum;
use std::ops::{Add, Div, Neg};

use tract_onnx::tract_hir::internal::*;

/// A number of single or of double precision.
pub trait Number:
    Datum + Copy + Default + PartialOrd + Add<Output = Self> + Div<Output = Self> + Neg<Output = Self> + Sum
{
    /// Converts from double precision.
    fn from_f64(value: f64) -> Self;

    /// Converts to single precision.
    fn to_f32(self) -> f32;

    /// Converts to double precision.
    fn to_f64(self) -> f64;
}

impl Number for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Number for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f32(self) -> f32 {
        self as f32
    }

    fn to_f64(self) -> f64 {
        self
    }
}
