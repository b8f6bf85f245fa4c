//! Objects by hand: the entries of a small network, each as honest as can be, with one thing put in.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, eax, edx, r8, rcx, rdi, rdx, rsi};
use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Options, Target};
use mnc_tests::need::target_of;
use object::elf;
use object::write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags,
    SymbolKind, SymbolScope,
};

/// What an assembler takes.
pub(super) type Written = Result<(), IcedError>;

/// The description of a small network; of one with a picture for its input there are entries for bytes.
pub(super) fn description(channels: usize) -> String {
    let text = format!(
        "name = \"small\"\nclasses = 1\ninput = {{ height = 4, width = 4, channels = {channels} }}\n[[layer]]\nkind = \"pointwise\"\nfilters = 8\n"
    );
    let description = Description::parse(&text, "small.toml").expect("it is legal");
    let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);
    let target: Target = target_of(&mnc::target::X86_64_V3);
    let options = Options { name: "net", labels: &[] };
    let mut info = mnc::compile(graph, &parameters, &target, &options).expect("it is legal").info;
    info.workspace_bytes = WORKSPACE_BYTES as u64;
    info.to_json()
}

/// Of the small network.
pub(super) const WORKSPACE_BYTES: usize = 1024;

/// Nothing in the workspace, and no steps: what these entries do there, they do before the first.
pub(super) const NO_STEPS: &str = r#"[{"steps":[],"values":[]}]"#;

/// A file in the making.
pub(super) struct Forgery {
    pub(super) object: Object<'static>,
    pub(super) text: SectionId,
    pub(super) rodata: SectionId,
    pub(super) json: SymbolId,
}

/// Refuses what an entry refuses: null pointers and a workspace that isn't aligned. Ends at `out`.
fn refusals(a: &mut CodeAssembler, out: CodeLabel, has_pool: bool) -> Written {
    a.mov(eax, -1)?;
    for pointer in [rdi, rsi, rdx] {
        a.test(pointer, pointer)?;
        a.je(out)?;
    }
    if has_pool {
        a.test(rcx, rcx)?;
        a.je(out)?;
    }
    a.mov(eax, -2)?;
    a.test(edx, 63)?;
    a.jne(out)
}

/// The bytes of an entry around a body. The body may go to the label that it is given, which is code that does harm.
pub(super) fn entry(
    has_pool: bool,
    body: impl Fn(&mut CodeAssembler, CodeLabel) -> Written,
    behind: impl Fn(&mut CodeAssembler, CodeLabel) -> Written,
) -> Vec<u8> {
    let write = || {
        let mut a = CodeAssembler::new(64)?;
        let (mut out, mut evil) = (a.create_label(), a.create_label());
        refusals(&mut a, out, has_pool)?;
        if has_pool {
            // The pool's function is there, or else its pointer is null.
            a.mov(r8, iced_x86::code_asm::qword_ptr(rcx + 8))?;
            a.test(r8, r8)?;
            let there = a.create_label();
            let mut there = there;
            a.jne(there)?;
            a.mov(eax, -1)?;
            a.jmp(out)?;
            a.set_label(&mut there)?;
        }
        body(&mut a, evil)?;
        a.xor(eax, eax)?;
        a.set_label(&mut out)?;
        a.ret()?;
        a.set_label(&mut evil)?;
        a.mov(iced_x86::code_asm::dword_ptr(rdx + 0x7fff_fff0), 1)?;
        a.syscall()?;
        a.ret()?;
        behind(&mut a, evil)?;
        a.assemble(0)
    };
    write().expect("it can be assembled")
}

/// An honest entry.
pub(super) fn nothing(_: &mut CodeAssembler, _: CodeLabel) -> Written {
    Ok(())
}

impl Forgery {
    /// Code and constants, with no symbol but that of the description.
    pub(super) fn new(channels: usize) -> Forgery {
        Forgery::with(&(description(channels) + "\0" + NO_STEPS + "\0"))
    }

    /// With that behind the pointer that `net_info` returns.
    pub(super) fn with(text_of: &str) -> Forgery {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let mut section = |name: &str, kind| object.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        let text = section(".text", SectionKind::Text);
        let rodata = section(".rodata", SectionKind::ReadOnlyData);
        section(".note.GNU-stack", SectionKind::Other);
        let offset = object.append_section_data(rodata, text_of.as_bytes(), 64);
        let json = object.add_symbol(Symbol {
            name: b"json".to_vec(),
            value: offset,
            size: text_of.len() as u64,
            kind: SymbolKind::Data,
            scope: SymbolScope::Compilation,
            weak: false,
            section: SymbolSection::Section(rodata),
            flags: SymbolFlags::None,
        });
        Forgery { object, text, rodata, json }
    }

    /// A function that others see.
    pub(super) fn function(&mut self, name: &str, code: &[u8]) -> SymbolId {
        let offset = self.object.append_section_data(self.text, code, 16);
        self.object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: offset,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(self.text),
            flags: SymbolFlags::None,
        })
    }

    /// A relocation of the code.
    pub(super) fn relocate(&mut self, offset: u64, symbol: SymbolId, kind: u32, addend: i64) {
        let flags = RelocationFlags::Elf { r_type: kind };
        let relocation = Relocation { offset, symbol, addend, flags };
        self.object.add_relocation(self.text, relocation).expect("the kind is one of this architecture");
    }

    /// `lea rax, [rip + json]; ret`.
    pub(super) fn info(&mut self) {
        let function = self.function("net_info", &[0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3]);
        let offset = self.object.symbol(function).value + 3;
        self.relocate(offset, self.json, elf::R_X86_64_PC32, -4);
    }

    /// Sections by name, of any kind.
    pub(super) fn section(&mut self, name: &str, (kind, flags): (u32, u32), bytes: &[u8]) -> SectionId {
        let id = self.object.add_section(Vec::new(), name.as_bytes().to_vec(), SectionKind::Elf(kind));
        self.object.section_mut(id).flags = SectionFlags::Elf { sh_flags: u64::from(flags) };
        self.object.append_section_data(id, bytes, 8);
        id
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.object.write().expect("it can be written")
    }
}

/// All entries of a network whose input is no picture, honest but for what is put in.
pub(super) fn forge(run: &[u8], run_parallel: &[u8], change: impl Fn(&mut Forgery)) -> Vec<u8> {
    let mut forgery = Forgery::new(8);
    forgery.function("net_run", run);
    forgery.function("net_run_parallel", run_parallel);
    forgery.info();
    change(&mut forgery);
    forgery.bytes()
}

/// The same with a list of what lies in the workspace.
pub(super) fn forge_values(list: &str, run: &[u8], run_parallel: &[u8]) -> Vec<u8> {
    let mut forgery = Forgery::with(&(description(8) + "\0" + list + "\0"));
    forgery.function("net_run", run);
    forgery.function("net_run_parallel", run_parallel);
    forgery.info();
    forgery.bytes()
}

/// An object whose `net_run` does something in the middle.
pub(super) fn run(body: impl Fn(&mut CodeAssembler, CodeLabel) -> Written) -> Vec<u8> {
    run_with(body, nothing)
}

/// The same with functions behind it.
pub(super) fn run_with(
    body: impl Fn(&mut CodeAssembler, CodeLabel) -> Written,
    behind: impl Fn(&mut CodeAssembler, CodeLabel) -> Written,
) -> Vec<u8> {
    forge(&entry(false, body, behind), &entry(true, nothing, nothing), |_| {})
}
