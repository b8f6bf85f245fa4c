//! The macro's syntax: a struct whose fields say what to compile.

use std::path::PathBuf;

use mnc::request::{Constant, Network, Numbers, Request};
use mnc::{Fault, Place, describe};
use proc_macro2::{Ident, Span};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, LitBool, LitFloat, LitInt, LitStr, Token, Visibility, braced, parenthesized};

use crate::inline::Inline;

/// `pub struct NAME { ... }`.
pub(crate) struct Definition {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) request: Request,
    /// Layers that are written in the macro itself.
    pub(crate) inline: Option<Inline>,
    /// Each field with the place of its value, and the value's text if it is one.
    pub(crate) fields: Vec<Field>,
}

/// Where an error about a field points.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) span: Span,
    /// The text of a string literal: a path, by which errors name a file.
    pub(crate) text: Option<String>,
}

const FIELDS: &[&str] = &[
    "network",
    "weights",
    "naming",
    "names",
    "axes",
    "prefix",
    "strict",
    "features",
    "keep_constant",
    "drop_constant",
    "config",
    "preprocessor",
    "labels",
    "alpha",
    "rho",
    "resolution",
];

impl Parse for Definition {
    fn parse(input: ParseStream<'_>) -> syn::Result<Definition> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<Token![struct]>()?;
        let name: Ident = input.parse()?;
        let body;
        braced!(body in input);
        if let Some(attribute) = attributes.iter().find(|it| it.path().is_ident("derive")) {
            let detail = "found a derive, expected documentation and `cfg` only: the struct has no fields";
            return Err(syn::Error::new_spanned(attribute, detail));
        }
        let mut parser = Fields {
            network: None,
            numbers: None,
            others: Request::new(none(), Numbers::Random(0)),
            inline: None,
            fields: Vec::new(),
        };
        while !body.is_empty() {
            parser.field(&body, &name)?;
            if !body.is_empty() {
                body.parse::<Token![,]>()?;
            }
        }
        let missing = |field: &str, example: &str| {
            syn::Error::new(name.span(), format!("`{name}` has no `{field}`, expected {example}"))
        };
        let network = parser.network.ok_or_else(|| {
            missing("network", "`network: \"mobilenet-v1\"`, the path of a description, or layers in braces")
        })?;
        let numbers = match (parser.numbers, &network) {
            (Some(numbers), _) => numbers,
            // A folder has its weights, and whether it is one the compiler finds out.
            (None, Network::Named(path)) if describe::builtin(path).is_none() && !path.ends_with(".toml") => {
                Numbers::Missing(Fault {
                    place: Place::flag("weights"),
                    detail: format!("found none, expected {WEIGHTS}"),
                })
            }
            (None, _) => {
                let usual = "`weights: \"FILE.safetensors\"`, `weights: random(1)` or `weights: runtime`";
                return Err(missing("weights", usual));
            }
        };
        let request = Request { network, numbers, ..parser.others };
        let (inline, fields) = (parser.inline, parser.fields);
        Ok(Definition { attributes, visibility, name, request, inline, fields })
    }
}

fn none() -> Network {
    Network::Named(String::new())
}

struct Fields {
    network: Option<Network>,
    numbers: Option<Numbers>,
    others: Request,
    inline: Option<Inline>,
    fields: Vec<Field>,
}

impl Fields {
    fn field(&mut self, input: ParseStream<'_>, struct_name: &Ident) -> syn::Result<()> {
        let key: Ident = input.parse()?;
        let name = key.to_string();
        if !FIELDS.contains(&name.as_str()) {
            let known = FIELDS.join(", ");
            return Err(syn::Error::new(
                key.span(),
                format!("unknown field `{name}`, expected one of {known}"),
            ));
        }
        if self.fields.iter().any(|field| field.name == name) {
            return Err(syn::Error::new(key.span(), format!("found `{name}` twice, expected it once")));
        }
        input.parse::<Token![:]>()?;
        let mut field = Field { name: name.clone(), span: input.span(), text: None };
        let mut string = |expected: &str| -> syn::Result<String> {
            let literal: LitStr = input
                .parse()
                .map_err(|error| syn::Error::new(error.span(), format!("`{name}`: expected {expected}")))?;
            field.text = Some(literal.value());
            Ok(literal.value())
        };
        match name.as_str() {
            "network" if input.peek(syn::token::Brace) => {
                let inline = Inline::parse(input, &struct_name.to_string())?;
                self.network = Some(inline.network());
                self.inline = Some(inline);
            }
            "network" => {
                let expected = "the name of a built-in network, a path, or layers in braces, as a string";
                self.network = Some(Network::Named(string(expected)?));
            }
            "weights" if input.peek(syn::Ident) => self.numbers = Some(numbers(input)?),
            "weights" => {
                self.numbers = Some(Numbers::File(PathBuf::from(string(WEIGHTS)?)));
            }
            "naming" => self.others.naming = Some(string("the name of a naming")?),
            "names" => self.others.names = Some(PathBuf::from(string("a path")?)),
            "axes" => self.others.axes = Some(string("\"OIHW\", \"HWIO\" or \"OHWI\"")?),
            "prefix" => self.others.prefix = Some(string("what names of tensors begin with, as a string")?),
            "strict" => self.others.strict = boolean(input, &name)?,
            "features" => self.others.features = boolean(input, &name)?,
            "keep_constant" => self.constant(boolean(input, &name)?, Constant::Kept, &key)?,
            "drop_constant" => self.constant(boolean(input, &name)?, Constant::LeftOut, &key)?,
            "config" => self.others.config = Some(PathBuf::from(string("a path, or \"none\"")?)),
            "preprocessor" => self.others.preprocessor = Some(PathBuf::from(string("a path, or \"none\"")?)),
            "labels" => self.others.labels = Some(PathBuf::from(string("a path")?)),
            "alpha" => self.others.alpha = Some(number(input, &name)?),
            "rho" => self.others.rho = Some(number(input, &name)?),
            "resolution" if input.peek(LitInt) => {
                self.others.resolution = Some(input.parse::<LitInt>()?.to_string());
            }
            "resolution" => {
                self.others.resolution = Some(string("a number, or a string such as \"192x160\"")?);
            }
            _ => unreachable!("every field of the list has an arm"),
        }
        self.fields.push(field);
        Ok(())
    }

    /// Takes one of the two fields about constant channels.
    fn constant(&mut self, is_asked: bool, constant: Constant, key: &Ident) -> syn::Result<()> {
        match (is_asked, self.others.constant) {
            (false, _) => {}
            (true, Constant::LeftOutOfInt8) => self.others.constant = constant,
            (true, Constant::Kept | Constant::LeftOut) => {
                let detail = "found `keep_constant` and `drop_constant`, expected one of the two";
                return Err(syn::Error::new(key.span(), detail));
            }
        }
        Ok(())
    }
}

/// What the weights may be.
const WEIGHTS: &str = "a path as a string, `random(SEED)` or `runtime`";

/// `random(SEED)` or `runtime`.
fn numbers(input: ParseStream<'_>) -> syn::Result<Numbers> {
    let word: Ident = input.parse()?;
    if word == "runtime" {
        return Ok(Numbers::Runtime);
    }
    if word != "random" {
        let detail = format!("`weights`: found `{word}`, expected {WEIGHTS}");
        return Err(syn::Error::new(word.span(), detail));
    }
    let seed;
    parenthesized!(seed in input);
    Ok(Numbers::Random(seed.parse::<LitInt>()?.base10_parse()?))
}

/// `true` or `false`.
fn boolean(input: ParseStream<'_>, name: &str) -> syn::Result<bool> {
    match input.parse::<LitBool>() {
        Ok(literal) => Ok(literal.value),
        Err(error) => Err(syn::Error::new(error.span(), format!("`{name}`: expected true or false"))),
    }
}

/// `1` or `0.5`.
fn number(input: ParseStream<'_>, name: &str) -> syn::Result<f64> {
    if input.peek(LitInt) {
        return input.parse::<LitInt>()?.base10_parse();
    }
    match input.parse::<LitFloat>() {
        Ok(literal) => literal.base10_parse(),
        Err(error) => Err(syn::Error::new(error.span(), format!("`{name}`: expected a number such as 0.5"))),
    }
}
