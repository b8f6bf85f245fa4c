//! A definition -> its expansion, or errors at the words at fault.

use std::path::Path;

use mnc::emit::rust::bindings::check_type_name;
use mnc::emit::rust::{self, Names, Tables, Weights};
use mnc::job::{self, Settings};
use mnc::request::{Numbers, Request};
use mnc::weights::naming::Naming;
use mnc::{Compiled, Error, ErrorKind, Options, Target};
use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens as _, quote};

use crate::files::Manifest;
use crate::parse::Definition;

pub(crate) fn expand(definition: &Definition) -> syn::Result<TokenStream> {
    let Definition { attributes, visibility, name, request, .. } = definition;
    check_type_name(&name.to_string()).map_err(|detail| syn::Error::new(name.span(), detail))?;
    let mut files = Manifest::new();
    let (target, symbols) = (Target::rust(), Options::name_of(&name.to_string()));
    let compiled = job::run(request, &mut files, &Settings::new(&target, &symbols))
        .map_err(|error| spanned(definition, &error))?;
    let constants = &compiled.program.constants;
    let (tables, bytes) = match request.numbers {
        Numbers::Runtime => {
            (Some(tables(request, &compiled).map_err(|error| spanned(definition, &error))?), None)
        }
        Numbers::File(_) | Numbers::Random(_) | Numbers::Missing(_) => {
            let (literal, n_bytes) =
                (Literal::byte_string(constants), Literal::usize_unsuffixed(constants.len()));
            (None, Some(quote! { const BYTES: &[u8; #n_bytes] = #literal; }))
        }
    };
    let names = Names {
        type_name: &name.to_string(),
        visibility: &visibility.to_token_stream().to_string(),
        weights: tables.as_ref().map_or(Weights::Constants("*BYTES"), Weights::Runtime),
    };
    let text = rust::network(&compiled.program, &compiled.info, &names);
    let parse = |text: &str| -> syn::Result<TokenStream> {
        text.parse().map_err(|error| syn::Error::new(name.span(), format!("the expansion: {error}")))
    };
    let (types, items) = (parse(&text.types)?, parse(&text.items)?);
    // What makes rustc, and so cargo, look at the files again.
    let tracked = files.read.iter().map(|path| path.to_string_lossy().into_owned());
    Ok(quote! {
        #(#attributes)*
        #visibility struct #name;
        #types
        const _: () = {
            #(const _: &[u8] = ::core::include_bytes!(#tracked);)*
            #bytes
            #items
        };
    })
}

/// What weights at run time are called, and where they go.
fn tables(request: &Request, compiled: &Compiled) -> mnc::Result<Tables> {
    let naming = request.naming.as_deref().map(Naming::asked).transpose()?;
    Tables::new(&compiled.graph, naming.unwrap_or(&Naming::PLAIN))
}

/// The faults of an error, each where the user wrote what is wrong.
fn spanned(definition: &Definition, error: &Error) -> syn::Error {
    let mut faults = error.faults().iter().map(|fault| {
        let (span, is_line) = span(definition, error.kind(), &fault.place);
        // A line of a text that the user never saw says nothing.
        let text = if is_line { fault.detail.clone() } else { fault.to_string() };
        syn::Error::new(span, text)
    });
    let first = faults.next().expect("an error has a fault");
    faults.fold(first, |mut all, fault| {
        all.combine(fault);
        all
    })
}

/// The words that a fault is about, and whether its place is a line of an inline description.
fn span(definition: &Definition, kind: ErrorKind, place: &str) -> (Span, bool) {
    if let Some(span) = definition.inline.as_ref().and_then(|inline| inline.span(place)) {
        return (span, place.contains(':'));
    }
    let field = |name: &str| definition.fields.iter().find(|field| field.name == name);
    let by_text = definition.fields.iter().find(|field| {
        field.text.as_ref().is_some_and(|text| place == text || place.starts_with(&format!("{text}:")))
    });
    let by_kind = match kind {
        ErrorKind::Description | ErrorKind::Graph => field("network"),
        ErrorKind::Weights => field("weights"),
        // A configuration beside the weights.
        ErrorKind::Io if Path::new(place).extension().is_some_and(|it| it == "json") => field("weights"),
        ErrorKind::Io | ErrorKind::Options | ErrorKind::Target | ErrorKind::Emit | _ => None,
    };
    let found = by_text.or_else(|| field(place)).or(by_kind);
    (found.map_or(definition.name.span(), |field| field.span), false)
}
