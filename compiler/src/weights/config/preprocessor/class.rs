//! The classes of transformers that prepare pictures, with what each does where a file doesn't say it.

use super::super::json::{self, Object};
use super::extent::Size;
use crate::describe::Resample;
use crate::error::Faults;

/// One of transformers' image processors.
#[derive(Debug)]
pub(super) struct Class {
    /// Without `ImageProcessor`.
    name: &'static str,
    pub(super) size: Size,
    /// Whether a size of one number is that of a square.
    pub(super) is_square: bool,
    /// The side of the square that is cut out, if any is.
    pub(super) crop: Option<usize>,
    /// What size is to be divided by.
    pub(super) crop_pct: CropPct,
    /// `None` where versions of transformers differ.
    pub(super) resample: Option<Resample>,
    /// Mean and deviation; `None` where the class doesn't normalise, whatever the file says.
    pub(super) normal: Option<([f64; 3], [f64; 3])>,
    /// Whether the classes' channels are blue first.
    pub(super) flips: bool,
    /// Whether deviations divide a second time.
    pub(super) divides_twice: bool,
}

/// What a class does with `crop_pct`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CropPct {
    /// Nothing.
    Unused,
    /// A shortest edge below 384 is what is cut out of one that is larger by this; others are stretched.
    Small(f64),
    /// The shortest edge becomes larger by this.
    Always(f64),
}

const HALF: Option<([f64; 3], [f64; 3])> = Some(([0.5; 3], [0.5; 3]));
const IMAGENET: Option<([f64; 3], [f64; 3])> = Some(([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
const CLIP: Option<([f64; 3], [f64; 3])> =
    Some(([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]));

const MOBILENET: Class = Class {
    name: "MobileNetV1",
    size: Size::ShortestEdge(256),
    is_square: false,
    crop: Some(224),
    crop_pct: CropPct::Unused,
    resample: Some(Resample::Bilinear),
    normal: HALF,
    flips: false,
    divides_twice: false,
};

const CLASSES: [Class; 10] = [
    MOBILENET,
    Class { name: "MobileNetV2", ..MOBILENET },
    Class { name: "ViT", size: Size::Exact(224, 224), is_square: true, crop: None, ..MOBILENET },
    Class {
        name: "DeiT",
        size: Size::Exact(256, 256),
        is_square: true,
        resample: Some(Resample::Bicubic),
        ..MOBILENET
    },
    Class {
        name: "CLIP",
        size: Size::ShortestEdge(224),
        resample: Some(Resample::Bicubic),
        normal: CLIP,
        ..MOBILENET
    },
    Class {
        name: "Bit",
        size: Size::ShortestEdge(224),
        resample: Some(Resample::Bicubic),
        normal: CLIP,
        ..MOBILENET
    },
    Class {
        name: "ConvNext",
        size: Size::ShortestEdge(384),
        crop: None,
        crop_pct: CropPct::Small(0.875),
        resample: None,
        ..MOBILENET
    },
    Class {
        name: "PoolFormer",
        size: Size::ShortestEdge(224),
        crop_pct: CropPct::Always(0.9),
        resample: Some(Resample::Bicubic),
        normal: IMAGENET,
        ..MOBILENET
    },
    Class {
        name: "EfficientNet",
        size: Size::Exact(346, 346),
        is_square: true,
        crop: None,
        resample: None,
        divides_twice: true,
        ..MOBILENET
    },
    Class {
        name: "MobileViT",
        size: Size::ShortestEdge(224),
        crop: Some(256),
        resample: None,
        normal: None,
        flips: true,
        ..MOBILENET
    },
];

/// The class that the file names, if it names one.
pub(super) fn read(root: &Object<'_>, faults: &mut Faults) -> Option<&'static Class> {
    let key = ["image_processor_type", "feature_extractor_type"].into_iter().find(|key| root.has(key))?;
    let names = CLASSES.each_ref().map(|class| format!("{}ImageProcessor", class.name)).join(", ");
    root.read(key, &format!("one of {names}"), faults, |value| {
        let name = json::string(value)?;
        let name = name.strip_suffix("Fast").or(name.strip_suffix("Pil")).unwrap_or(&name);
        let name = name.strip_suffix("ImageProcessor").or(name.strip_suffix("FeatureExtractor"))?;
        CLASSES.iter().find(|class| class.name == name)
    })
}
