//! Layers written in the macro: `{ input: 32 x 32 x 3, conv(3x3, 8, stride 2), separable(16), dense(10) }`.
//!
//! They become the TOML that a file would have, a line for each word of the user's, so that the one parser of descriptions
//! judges them and its faults find their way back.

use mnc::describe::Description;
use mnc::graph::Graph;
use mnc::request::Network;
use proc_macro2::{Ident, Span, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Lit, LitInt, Token, braced, bracketed, parenthesized};

/// What errors of the description's parser call it.
const PLACE: &str = "inline";

/// The description, and where each line of it comes from.
pub(crate) struct Inline {
    text: String,
    /// For each line of the text.
    spans: Vec<Span>,
    /// The keys of the whole network.
    keys: Vec<Ident>,
    /// For each layer, the word for its kind, which is where faults of a shape point.
    layers: Vec<Span>,
}

/// A line of the description, and the words that it comes from.
struct Line {
    span: Span,
    text: String,
}

impl Inline {
    /// Parses the braces.
    pub(crate) fn parse(input: ParseStream<'_>, name: &str) -> syn::Result<Inline> {
        let body;
        let at = braced!(body in input).span.open();
        let mut inline =
            Inline { text: String::new(), spans: Vec::new(), keys: Vec::new(), layers: Vec::new() };
        inline.line(at, format!("name = {name:?}"));
        let (mut lines, mut layers) = (Vec::new(), Vec::new());
        while !body.is_empty() {
            let word: Ident = body.parse()?;
            if body.peek(Token![:]) {
                body.parse::<Token![:]>()?;
                lines.extend(network_key(&word, &body)?);
                inline.keys.push(word);
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
        if !inline.keys.iter().any(|key| key == "classes") {
            // A dense layer says its units here; the key is one of files.
            inline.line(at, "classes = 1".to_owned());
        }
        for Line { span, text } in lines {
            inline.line(span, text);
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

    /// The word of a key of the whole network.
    pub(crate) fn key_span(&self, name: &str) -> Option<Span> {
        self.keys.iter().find(|key| *key == name).map(Ident::span)
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
        for argument in arguments {
            match argument {
                Argument::Kernel(span, sides) => self.line(span, format!("kernel = {sides}")),
                Argument::Count(span, n) => self.line(span, format!("{count} = {n}")),
                Argument::Key(lines) => lines.into_iter().for_each(|line| self.line(line.span, line.text)),
            }
        }
        self.layers.push(kind.span());
    }
}

/// The lines of a key of the whole network.
fn network_key(word: &Ident, body: ParseStream<'_>) -> syn::Result<Vec<Line>> {
    if word != "input" {
        return entry(&Key::new(word), body, Mark::Colon);
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
            let text = format!("input = {{ height = {height}, width = {width}, channels = {channels} }}");
            Ok(vec![Line { span: word.span(), text }])
        }
        _ => Err(syn::Error::new(
            at,
            format!("`input`: found `{text}`, expected rows x columns x channels, such as 32 x 32 x 3"),
        )),
    }
}

/// What stands between a key and its value in a table: `alpha: { rounding: nearest }` of the network,
/// `batch_norm { epsilon 1e-5 }` of a layer, each as around it.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Colon,
    Nothing,
}

/// A key as TOML writes it, with those of the tables around it.
struct Key {
    path: String,
    span: Span,
}

impl Key {
    fn new(word: &Ident) -> Key {
        Key { path: word.to_string(), span: word.span() }
    }

    fn line(&self, value: &str) -> Line {
        Line { span: self.span, text: format!("{} = {value}", self.path) }
    }
}

/// The lines of a key with its value: one for a literal or a word, one for each element of an array or a table, so that faults
/// of one point at it.
fn entry(key: &Key, input: ParseStream<'_>, mark: Mark) -> syn::Result<Vec<Line>> {
    if input.peek(syn::token::Bracket) {
        let elements;
        bracketed!(elements in input);
        let mut lines = vec![key.line("[")];
        while !elements.is_empty() {
            let span = elements.span();
            lines.push(Line { span, text: format!("{},", value(&elements)?) });
            if !elements.is_empty() {
                elements.parse::<Token![,]>()?;
            }
        }
        lines.push(Line { span: key.span, text: "]".to_owned() });
        return Ok(lines);
    }
    if input.peek(syn::token::Brace) {
        let table;
        braced!(table in input);
        if table.is_empty() {
            return Ok(vec![key.line("{}")]);
        }
        let mut lines = Vec::new();
        while !table.is_empty() {
            let word: Ident = table.parse()?;
            if mark == Mark::Colon {
                table.parse::<Token![:]>()?;
            }
            let inner = Key { path: format!("{}.{word}", key.path), span: word.span() };
            lines.extend(entry(&inner, &table, mark)?);
            if !table.is_empty() {
                table.parse::<Token![,]>()?;
            }
        }
        return Ok(lines);
    }
    Ok(vec![key.line(&value(input)?)])
}

/// A literal or a word, as TOML: words are strings there, but for truth, and `10x4` is rows and columns.
fn value(input: ParseStream<'_>) -> syn::Result<String> {
    if input.peek(Token![-]) {
        input.parse::<Token![-]>()?;
        let number: Lit = input.parse()?;
        return Ok(format!("-{}", quote::quote!(#number)));
    }
    if input.peek(Lit) {
        return Ok(match input.parse::<Lit>()? {
            Lit::Str(text) => format!("{:?}", text.value()),
            Lit::Int(number) => sides(&number).unwrap_or_else(|| number.to_string()),
            other => quote::quote!(#other).to_string(),
        });
    }
    let word: Ident = input.parse()?;
    Ok(format!("{:?}", word.to_string()))
}

/// `3x3` or `10x4` as TOML has it; `None` of a plain number.
fn sides(number: &LitInt) -> Option<String> {
    let text = number.to_string();
    // A number in base 16 begins so.
    let (rows, columns) = text.split_once('x').filter(|(rows, _)| *rows != "0")?;
    Some(if rows == columns { rows.to_owned() } else { format!("[{rows}, {columns}]") })
}

/// An argument of a layer: `3x3`, `16`, or a key and its value.
enum Argument {
    Kernel(Span, String),
    Count(Span, String),
    Key(Vec<Line>),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Argument> {
        if !input.peek(LitInt) {
            let key: Ident = input.parse()?;
            return Ok(Argument::Key(entry(&Key::new(&key), input, Mark::Nothing)?));
        }
        let span = input.span();
        let literal: LitInt = input.parse()?;
        Ok(match sides(&literal) {
            None => Argument::Count(span, literal.to_string()),
            Some(sides) => Argument::Kernel(span, sides),
        })
    }
}
