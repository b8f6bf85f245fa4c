# What continuous integration does is in .ci/run; these are the commands of a day.
check: # formatting and lints
    cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings
test: # all tests, in this build's profile
    cargo test --workspace --locked
examples: # every example, compared with what its README says
    examples/run-all.sh
doc: # the library's documentation
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
bless: # golden files anew, after reading the difference
    UPDATE_GOLDEN=1 cargo test -p mnc-tests --test golden
