#!/usr/bin/env bash
# Builds and runs every example and compares what it prints. What needs a cross compiler or qemu is skipped with a word,
# unless MNC_REQUIRE_ALL=1.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --locked --bin mnc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# As it is installed: a program in a folder of its own, which finds nothing of the repository.
install -D "$(realpath "${CARGO_TARGET_DIR:-target}/debug/mnc")" "$work/bin/mnc"
mnc=$work/bin/mnc

# skip EXAMPLE MISSING: the rule of tests/need.
skip() {
    [ "${MNC_REQUIRE_ALL:-}" = 1 ] && { echo "$1: found no $2"; exit 1; }
    echo "skipped: $1, for want of $2"
    [ -z "${MNC_SKIPPED:-}" ] || printf 'examples\t%s\t%s\n' "$1" "$2" >> "$MNC_SKIPPED"
}

# expect NAME FILE TEXT...: each text is in the file.
expect() {
    local name=$1 file=$2
    shift 2
    for text in "$@"; do
        grep -qF -- "$text" "$file" || { echo "$name: expected \"$text\", found:"; cat "$file"; exit 1; }
    done
    echo "ok: $name"
}

"$mnc" compile mobilenet-v1 --quiet --weights examples/person-detector/person.safetensors -o "$work/person"
"$work/person" --top 1 examples/person-detector/photos > "$work/out"
expect person-detector "$work/out" '0.9495  person' '0.9772  non_person'

link_c() {
    local name=$1
    shift
    rm -rf "$work/link-c"
    cp -r examples/link-c "$work/link-c"
    rm -rf "$work/link-c/build"
    mkdir -p "$work/person-detector"
    cp examples/person-detector/*.{safetensors,json} "$work/person-detector"
    make --silent -C "$work/link-c" MNC="$mnc" "$@" > "$work/out" 2> "$work/log" || { cat "$work/log"; exit 1; }
    # To the last digit on every architecture.
    expect "$name" "$work/out" '  1.444228  person' ' -1.464711  non_person'
}

link_c 'link-c'
cross() {
    local arch=$1 qemu=$2
    shift 2
    if command -v "$arch-linux-gnu-gcc" > /dev/null && command -v "${qemu%% *}" > /dev/null; then
        link_c "link-c on $arch" CC="$arch-linux-gnu-gcc -static" RUN="$qemu" "$@"
    else
        skip "link-c on $arch" "$arch-linux-gnu-gcc and ${qemu%% *}"
    fi
}
cross aarch64 qemu-aarch64 TARGET=aarch64-unknown-linux-gnu
cross riscv64 'qemu-riscv64 -cpu rv64,v=true,zba=true,zbb=true,zbs=true' TARGET=riscv64gc-unknown-linux-gnu

# needs PROGRAM EXAMPLE: whether the program is there, which the example needs.
needs() {
    command -v "$1" > /dev/null && return
    skip "$2" "$1"
    return 1
}
# person_library EXAMPLE FORMATS: a copy of the example with the library in its folder person.
person_library() {
    rm -rf "${work:?}/$1"
    cp -r "examples/$1" "$work/$1"
    "$mnc" compile mobilenet-v1 --quiet --weights examples/person-detector/person.safetensors --name person \
        --emit "$2" -o "$work/$1/person/"
}

if needs cmake cmake-cpp; then
    person_library cmake-cpp staticlib,header,cmake
    cmake --log-level=ERROR -S "$work/cmake-cpp" -B "$work/cmake-cpp/build" -DCMAKE_PREFIX_PATH="$work/cmake-cpp/person" > "$work/log"
    cmake --build "$work/cmake-cpp/build" >> "$work/log" || { cat "$work/log"; exit 1; }
    "$work/cmake-cpp/build/detect" examples/link-c/astronaut.ppm > "$work/out"
    expect cmake-cpp "$work/out" '  1.444228  person' ' -1.464711  non_person'
fi

person_library link-rust staticlib,header
(cd "$work/link-rust" && CARGO_TARGET_DIR="$work/link-rust/target" cargo build --quiet)
"$work/link-rust/target/debug/detect" examples/link-c/astronaut.ppm > "$work/out"
expect link-rust "$work/out" '  1.444228  person' ' -1.464711  non_person'

# Weights in a file, which two processes share, and several pictures in one run.
mkdir "$work/shared-weights"
"$mnc" compile mobilenet-v1 --quiet --weights examples/person-detector/person.safetensors --batch 2 \
    -o "$work/shared-weights/person" --weights-file "$work/shared-weights/person.weights"
"$work/shared-weights/person" --top 1 examples/person-detector/photos > "$work/out" &
"$work/shared-weights/person" --top 1 examples/person-detector/photos > "$work/out2"
wait $!
cmp "$work/out" "$work/out2"
expect 'weights in a file, two pictures at a time' "$work/out" '0.9495  person' '0.9772  non_person'

# rust NAME COMMAND...: runs cargo in an example that is a crate of its own, with the versions of the workspace.
rust() {
    local name=$1
    shift
    cp Cargo.lock "examples/$name/Cargo.lock"
    (cd "examples/$name" && CARGO_TARGET_DIR="$examples_target" cargo "$@") > "$work/out" 2> "$work/log" || { cat "$work/out" "$work/log"; exit 1; }
}
# The folder in which the tests build crates of users: what they depend on is compiled once for all.
examples_target=$(realpath "${CARGO_TARGET_DIR:-target}")/tmp/user-crates
photos=../person-detector/photos
rust macro-photograph run --quiet --release -- "$photos/astronaut.jpg" "$photos/chelsea.jpg"
expect macro-photograph "$work/out" 'astronaut.jpg: person' 'chelsea.jpg: non_person'
rust macro-inline run --quiet --release
expect macro-inline "$work/out" '10 classes, 1.000000 in all' 'class 0: 1.7943318e-4'
rust macro-training run --quiet --release
expect macro-training "$work/out" 'loss 1.5930212e1, 8 of 16 right' 'loss 0e0, 16 of 16 right'
rust macro-no-std test --quiet --release
expect macro-no-std "$work/out" 'test result: ok. 1 passed'
rust build-script run --quiet --release -- ../link-c/astronaut.ppm
expect build-script "$work/out" '  1.444228  person' ' -1.464711  non_person'

# A face detector, whose weights are too large for the repository: as a program, from C, from Rust and from Python.
faces_example() {
    local weights=../shared/data/next/weights/ultraface_slim_320.safetensors faces=$work/faces
    local photo=examples/person-detector/photos/astronaut.jpg box='from 179.2, 62.0 to 270.9, 174.1'
    [ -f "$weights" ] || { skip face-detector "$weights"; return; }
    needs python3 face-detector || return
    mkdir -p "$faces/module"
    python3 examples/face-detector/rename.py "$weights" "$faces/faces.safetensors"
    local compile=("$mnc" compile examples/face-detector/faces.toml --quiet --weights "$faces/faces.safetensors"
        --labels examples/face-detector/labels.txt --name faces)
    "${compile[@]}" -o "$faces/faces"
    "$faces/faces" --draw "$faces/painted.png" "$photo" > "$work/out"
    expect face-detector "$work/out" "  1.0000  face  (1)  $box"
    [ "$(head -c 4 "$faces/painted.png" | tail -c 3)" = PNG ] || { echo 'face-detector: painted.png is no PNG'; exit 1; }
    "${compile[@]}" --emit obj,header,python -o "$faces/module/"
    if ! "$python" -c 'import numpy, PIL' 2> /dev/null; then
        skip 'face-detector from C, Rust and Python' "NumPy and Pillow for $python"
        return
    fi
    "$python" examples/face-detector/python/find.py "$faces/module" "$photo" > "$work/out"
    # Pillow's decoder of JPEGs is another one.
    expect 'face-detector from Python' "$work/out" '1.0000  face  from 179.' ' to 270.' ', 174.'
    "$python" -c 'import sys; from PIL import Image
Image.open(sys.argv[1]).resize((320, 240), Image.Resampling.BILINEAR).save(sys.argv[2])' "$photo" "$faces/photo.ppm"
    ${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -I"$faces/module" examples/face-detector/c/main.c "$faces/module/faces.o" -o "$faces/c"
    "$faces/c" "$faces/photo.ppm" 512 512 > "$work/out2"
    expect 'face-detector from C' "$work/out2" '1.0000  face  from 179.' ' to 270.' ', 174.'
    cmp "$work/out" "$work/out2"
    cp Cargo.lock examples/face-detector/rust/Cargo.lock
    (cd examples/face-detector/rust && FACES_WEIGHTS="$faces/faces.safetensors" CARGO_TARGET_DIR="$examples_target" \
        cargo run --quiet --release -- "$faces/photo.ppm" 512 512) > "$work/out2" 2> "$work/log" || { cat "$work/log"; exit 1; }
    cmp "$work/out" "$work/out2"
    echo 'ok: face-detector from Rust'
}

# Without a linker, here and for another processor.
"$mnc" compile mobilenet-v1 --quiet --weights examples/person-detector/person.safetensors --linker internal -o "$work/static"
"$work/static" --top 1 examples/person-detector/photos > "$work/out"
expect 'static person-detector' "$work/out" '0.9495  person' '0.9772  non_person'

# The interpreter with Ray, NumPy and Pillow: `.ci/run` makes one in target/python.
python=python3
[ -x target/python/bin/python ] && python=target/python/bin/python
"$mnc" compile mobilenet-v1 --quiet --weights examples/person-detector/person.safetensors \
    --name person --emit python,obj,manifest -o "$work/module/"
"$mnc" inspect "$work/module/person.o" > "$work/out"
expect inspect "$work/out" 'kept    every access inside its buffers' 'kept    as its manifest says'
if "$python" -c 'import numpy, PIL, ray.data' 2> /dev/null; then
    "$python" examples/python/classify.py "$work/module" examples/person-detector/photos > "$work/out"
    expect python "$work/out" 'astronaut.jpg person 0.9' 'chelsea.jpg non_person 0.9'
    # Two workers, and the labels of the executable.
    mkdir "$work/many"
    for copy in 1 2 3 4 5 6 7 8; do
        for photo in examples/person-detector/photos/*.jpg; do cp "$photo" "$work/many/$copy-${photo##*/}"; done
    done
    "$python" examples/ray/classify.py "$work/module/person.py" "$work/many" > "$work/out" 2> "$work/log" \
        || { cat "$work/log"; exit 1; }
    expect ray "$work/out" '	person' '	non_person' '# 16 pictures, 2 workers'
else
    skip 'python and ray' "NumPy, Pillow and Ray for $python"
fi
faces_example
