//! Networks that another quantiser has made: LiteRT's bytes, layer by layer, of the two in the shared data; random ones against its
//! arithmetic in plain loops; files that are wrong.

#[path = "quantised/litert.rs"]
mod litert;
#[path = "quantised/random.rs"]
mod random;
#[path = "quantised/wrong.rs"]
mod wrong;

use std::collections::BTreeMap;

use safetensors::tensor::{SafeTensors, TensorView};
use safetensors::{Dtype, View};

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The tensors of a file, by their names.
type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    fn of(view: &TensorView<'_>) -> Tensor {
        Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() }
    }

    fn f32s(numbers: &[f32]) -> Tensor {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor { dtype: Dtype::F32, shape: vec![numbers.len()], bytes }
    }

    fn i32s(numbers: &[i32]) -> Tensor {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Tensor { dtype: Dtype::I32, shape: vec![numbers.len()], bytes }
    }

    fn signed(byte: i8) -> Tensor {
        Tensor { dtype: Dtype::I8, shape: vec![1], bytes: vec![byte.cast_unsigned()] }
    }

    fn numbers(&self) -> Vec<f32> {
        self.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn tensors(file: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(file).expect("it is safetensors");
    file.tensors().iter().map(|(name, view)| (name.clone(), Tensor::of(view))).collect()
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    safetensors::serialize(views, None).expect("it can be written")
}
