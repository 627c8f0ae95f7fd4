//! Placeholder.
use serde::de::DeserializeOwned;

use super::{Form, Shape};

pub(crate) fn trace<T: DeserializeOwned>() -> Result<Shape, String> {
    Ok(Shape {
        root: Form::Leaf(std::any::type_name::<T>().to_owned()),
        types: Vec::new(),
    })
}
