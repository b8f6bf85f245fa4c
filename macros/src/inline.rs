//! Layers written in the macro: `{ input: 32 x 32 x 3, conv(3x3, 8, stride 2), separable(16), dense(10) }`.
//!
//! They become the TOML that a file would have, a line for each word of the user's, so that the one parser of descriptions
//! judges them and its faults find their way back.

use mnc::describe::Description;
use mnc::graph::Graph;
use mnc::request::Network;
use proc_macro2::{Ident, Span, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Lit, LitInt, Token, braced, parenthesized};

/// What errors of the description's parser call it.
const PLACE: &str = "inline";

/// The description, and where each line of it comes from.
pub(crate) struct Inline {
    text: String,
    /// For each line of the text.
    spans: Vec<Span>,
    /// For each layer, the word for its kind, which is where faults of a shape point.
    layers: Vec<Span>,
}

impl Inline {
    /// Parses the braces.
    pub(crate) fn parse(input: ParseStream<'_>, name: &str) -> syn::Result<Inline> {
        let body;
        let at = braced!(body in input).span.open();
        let mut inline = Inline { text: String::new(), spans: Vec::new(), layers: Vec::new() };
        inline.line(at, format!("name = {name:?}"));
        let (mut keys, mut layers, mut has_classes) = (Vec::new(), Vec::new(), false);
        while !body.is_empty() {
            let word: Ident = body.parse()?;
            if body.peek(Token![:]) {
                body.parse::<Token![:]>()?;
                has_classes |= word == "classes";
                keys.push((word.clone(), key_value(&word, &body)?));
            } else {
                let arguments = if body.peek(syn::token::Paren) {
                    let arguments;
                    parenthesized!(arguments in body);
                    arguments.parse_terminated(Argument::parse, Token![,])?.into_iter().collect()
                } else {
                    Vec::new()
                };
                layers.push((word, arguments));
            }
            if !body.is_empty() {
                body.parse::<Token![,]>()?;
            }
        }
        if !has_classes {
            // A dense layer says its units here; the key is one of files.
            inline.line(at, "classes = 1".to_owned());
        }
        for (word, value) in keys {
            inline.line(word.span(), format!("{word} = {value}"));
        }
        for (kind, arguments) in layers {
            inline.layer(&kind, arguments);
        }
        Ok(inline)
    }

    /// What the compiler is asked for.
    pub(crate) fn network(&self) -> Network {
        Network::Inline { text: self.text.clone(), place: PLACE.to_owned() }
    }

    /// The word that a line of the text comes from, if the text is this one.
    pub(crate) fn line_span(&self, file: &str, line: usize) -> Option<Span> {
        if file == PLACE { self.spans.get(line.checked_sub(1)?).copied() } else { None }
    }

    /// The word of a layer.
    pub(crate) fn layer_span(&self, name: &str) -> Option<Span> {
        // What is called after a layer was written with it.
        let name = name.split('.').next().unwrap_or(name);
        let description = Description::parse(&self.text, PLACE).ok()?;
        let names = Graph::layer_names(&description);
        let idx = names.iter().position(|names| names.iter().any(|layer| layer == name))?;
        self.layers.get(idx).copied()
    }

    fn line(&mut self, span: Span, text: String) {
        self.text.push_str(&text);
        self.text.push('\n');
        self.spans.push(span);
    }

    fn layer(&mut self, kind: &Ident, arguments: Vec<Argument>) {
        self.line(kind.span(), "[[layer]]".to_owned());
        self.line(kind.span(), format!("kind = \"{kind}\""));
        let count = if kind == "dense" { "units" } else { "filters" };
        for Argument { span, value } in arguments {
            let text = match value {
                Value::Kernel(side) => format!("kernel = {side}"),
                Value::Count(n) => format!("{count} = {n}"),
                Value::Key(key, value) => format!("{key} = {value}"),
            };
            self.line(span, text);
        }
        self.layers.push(kind.span());
    }
}

/// The value of a key of the whole network, as TOML.
fn key_value(word: &Ident, body: ParseStream<'_>) -> syn::Result<String> {
    if word != "input" {
        return value(body);
    }
    // 32 x 32 x 3, which the lexer may also take for literals with a suffix.
    let mut text = String::new();
    let at = body.span();
    while !body.is_empty() && !body.peek(Token![,]) {
        text += &body.parse::<TokenTree>()?.to_string();
    }
    let sides: Vec<&str> = text.split('x').collect();
    match sides[..] {
        [height, width, channels] if sides.iter().all(|side| side.parse::<u32>().is_ok()) => {
            Ok(format!("{{ height = {height}, width = {width}, channels = {channels} }}"))
        }
        _ => Err(syn::Error::new(
            at,
            format!("`input`: found `{text}`, expected rows x columns x channels, such as 32 x 32 x 3"),
        )),
    }
}

/// A literal or a word, as TOML: words are strings there, but for truth.
fn value(input: ParseStream<'_>) -> syn::Result<String> {
    if input.peek(Lit) {
        return Ok(match input.parse::<Lit>()? {
            Lit::Str(text) => format!("{:?}", text.value()),
            other => quote::quote!(#other).to_string(),
        });
    }
    let word: Ident = input.parse()?;
    Ok(format!("{:?}", word.to_string()))
}

/// An argument of a layer: `3x3`, `16`, or a key and its value.
struct Argument {
    span: Span,
    value: Value,
}

enum Value {
    Kernel(String),
    Count(String),
    Key(String, String),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Argument> {
        let span = input.span();
        if !input.peek(LitInt) {
            let key: Ident = input.parse()?;
            return Ok(Argument { span, value: Value::Key(key.to_string(), value(input)?) });
        }
        let literal: LitInt = input.parse()?;
        let text = literal.to_string();
        let value = match text.split_once('x') {
            None => Value::Count(text),
            Some((rows, columns)) if rows == columns => Value::Kernel(rows.to_owned()),
            Some(_) => {
                let detail = format!("found a kernel of {text}, expected a square one such as 3x3");
                return Err(syn::Error::new(span, detail));
            }
        };
        Ok(Argument { span, value })
    }
}
