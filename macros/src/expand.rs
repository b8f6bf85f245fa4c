//! A definition -> its expansion, or errors at the words at fault.

use mnc::emit::rust::bindings::check_type_name;
use mnc::emit::rust::{self, Names, Tables, Weights};
use mnc::job::{Job, Settings};
use mnc::request::{Numbers, Package, Request};
use mnc::weights::naming::Naming;
use mnc::{Compiled, Error, ErrorKind, Options, Place, Target};
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};

use crate::parse::Definition;

pub(crate) fn expand(definition: &Definition) -> syn::Result<TokenStream> {
    let Definition { attributes, visibility, name, request, .. } = definition;
    check_type_name(&name.to_string()).map_err(|detail| syn::Error::new(name.span(), detail))?;
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let mut files = Package::new(folder.unwrap_or_default());
    let (target, symbols) = (Target::rust(), Options::name_of(&name.to_string()));
    let settings = Settings::new(&target, &symbols);
    let (compiled, warnings) =
        compile(request, &mut files, &settings).map_err(|error| spanned(definition, &error))?;
    let warnings = warnings.iter().map(|warning| told(name, warning));
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
            #(#warnings)*
            #bytes
            #items
        };
    })
}

/// The network, and what may mean that it is another one than the weights are of.
fn compile(
    request: &Request,
    files: &mut Package,
    settings: &Settings<'_>,
) -> mnc::Result<(Compiled, Vec<String>)> {
    let opened = Job::resolve(request, files)?.open(files)?;
    let (graph, _) = opened.graph()?;
    let warnings = opened.job().warnings().map(str::to_owned).collect();
    Ok((opened.run(graph, settings)?, warnings))
}

/// A warning of the compiler's at the name of the type. A macro has no other way to one than the use of something deprecated.
fn told(name: &Ident, warning: &str) -> TokenStream {
    quote_spanned! { name.span() =>
        const _: () = {
            #[deprecated(note = #warning)]
            const WEIGHTS: () = ();
            WEIGHTS
        };
    }
}

/// What weights at run time are called, and where they go.
fn tables(request: &Request, compiled: &Compiled) -> mnc::Result<Tables> {
    let naming = request.naming.as_deref().map(Naming::asked).transpose()?;
    Tables::new(&compiled.graph, naming.unwrap_or(&Naming::PLAIN))
}

/// The faults of an error, each where the user wrote what is wrong.
fn spanned(definition: &Definition, error: &Error) -> syn::Error {
    let mut faults = error.faults().iter().map(|fault| {
        let Some(span) = inline_line(definition, &fault.place) else {
            return syn::Error::new(span(definition, error.kind(), &fault.place), fault.to_string());
        };
        // A line of a text that the user never saw says nothing.
        syn::Error::new(span, &fault.detail)
    });
    let first = faults.next().expect("an error has a fault");
    faults.fold(first, |mut all, fault| {
        all.combine(fault);
        all
    })
}

/// The word that became a line of an inline description.
fn inline_line(definition: &Definition, place: &Place) -> Option<Span> {
    let Place::Text { file, line, .. } = place else { return None };
    definition.inline.as_ref()?.line_span(file, *line)
}

/// The words that a fault is about.
fn span(definition: &Definition, kind: ErrorKind, place: &Place) -> Span {
    let field = |name: &str| definition.fields.iter().find(|field| field.name == name);
    let by_kind = match kind {
        ErrorKind::Description | ErrorKind::Graph => field("network"),
        ErrorKind::Weights => field("weights"),
        ErrorKind::Io | ErrorKind::Options | ErrorKind::Target | ErrorKind::Emit | _ => None,
    };
    let found = match place {
        Place::Text { file, .. }
        | Place::Entry { file, .. }
        | Place::Tensor { file, .. }
        | Place::File(file) => {
            let named = definition.fields.iter().find(|field| field.text.as_ref() == Some(file));
            // A file that nobody named was found beside the weights.
            named.or(by_kind).or(field("weights"))
        }
        Place::Layer(name) => match definition.inline.as_ref().and_then(|inline| inline.layer_span(name)) {
            Some(span) => return span,
            None => by_kind,
        },
        // Options of the command have hyphens.
        Place::Flag(name) => field(&name.replace('-', "_")).or(by_kind),
        Place::Named(name) => match definition.inline.as_ref().and_then(|inline| inline.key_span(name)) {
            Some(span) => return span,
            None => by_kind,
        },
    };
    found.map_or(definition.name.span(), |field| field.span)
}
