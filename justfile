# What CI runs, and nothing else.
check:
    bash .ci/run

# All tests that need nothing but Rust.
test:
    cargo test --workspace

# The Python SDK: lints, types, tests on `koncli dev`, wheel and sdist, in a venv in target/python.
python:
    cargo build --package koncli
    KONCLI=target/debug/koncli sdk/python/check

# The GitHub Action, the hooks for pre-commit, Neovim and the extension for VS Code, each run as its users would (needs
# Python and Node.js; VS Code itself once grammar/editors/vscode/browser/install has installed it).
editors:
    cargo build --package koncli
    KONCLI=target/debug/koncli integrations/check
    KONCLI=target/debug/koncli grammar/editors/vscode/check

# The web view in Chromium, with axe (needs Node.js and Chromium); `just web --screenshots` also takes the pictures of the
# docs, best with a release build in $KONCLI.
web *options:
    cargo build --package koncli
    KONCLI=${KONCLI:-target/debug/koncli} integrations/web/check {{options}}

# The scenarios on a real etcd, kube-apiserver and kube-controller-manager (needs Go).
test-real:
    KONDUCTOR_TEST_CLUSTER=real cargo test --workspace --test scenarios --test contract --test contract_go --test contract_python --test workers --test differential --test outages --test owner_references --test clients --test chart_values --test poison

# Pipelines in the queues of a real Kueue, with its feature gate on and off (needs Go; the first build takes ten
# minutes and is kept).
test-kueue:
    KONDUCTOR_TEST_CLUSTER=real KONDUCTOR_TEST_KUEUE=1 cargo test --workspace --test kueue

# Traces of runs in a real Jaeger, with a program that uses OpenTelemetry (needs Go and Python; the first build takes
# minutes and is kept).
test-jaeger:
    python3 -m venv target/otel
    target/otel/bin/pip install --quiet opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
    KONDUCTOR_TEST_JAEGER=1 cargo test --workspace --test traces

# The image and the chart on a kubelet and containerd (needs root, Go, and a few packages of Debian, which
# it names). `KONDUCTOR_KILLS=50 KONDUCTOR_IMAGE_PROFILE=release` is what docs/evidence.md tells about.
test-node:
    KONDUCTOR_TEST_CLUSTER=real cargo test --workspace --test node

# The image that is published, and what is in it, without an engine.
image folder="target/image":
    image/build {{folder}}

# Rewrite the expected outputs; read the diff.
bless:
    BLESS=1 cargo test --package konductor-dsl --package konductor-compiler --package koncli
    BLESS=1 cargo test --package konductor-tests --test transcripts --test docs --test matrix

# The documentation as a book, in target/book (needs mdbook).
book:
    mdbook build docs

# The terminal in the README (needs tmux and Python).
picture:
    cargo build --release --package koncli
    PATH="$PWD/target/release:$PATH" docs/picture

# Never two commands at once, 200 rounds of everything that can end one; a wait that asks nothing for ten minutes.
patience:
    KONDUCTOR_ROUNDS=200 KONDUCTOR_IDLE=600 cargo test --package konductor-tests --test holds --test waits -- --nocapture

# The main job on a real example.
run:
    cargo run --release --package koncli -- run examples/02-sales/pipeline.kon

# Every single fault at every write and watch event, and 1,000 random plans of each story.
simulate:
    KONDUCTOR_FAULTS=all KONDUCTOR_PLANS=1000 cargo test --profile simulate --package konductor-tests --test simulation -- --nocapture

# Every interleaving of two operators, three claimants and two permits; and of an election, with lost answers.
model:
    KONDUCTOR_MODEL=large cargo test --profile simulate --package konductor-tests --test model
    KONDUCTOR_MODEL=large cargo test --profile simulate --package konductor-operator --lib leader::model

# Break the product in small ways, one at a time: a test must notice each.
mutants *names:
    tests/mutants/run {{names}}

# How long generated pipelines take to compile, how long an editor waits after a keystroke, and how much memory.
bench:
    cargo bench --package konductor-compiler
    cargo bench --package konductor-lsp

# Instructions of compiling and deciding, against tests/benches/instructions.json (needs valgrind); `just instructions
# --update` writes what is counted.
instructions *options:
    tests/benches/instructions.py {{options}}

# Fuzz a target (parse, format or compile) from what is known on; needs nightly and cargo-fuzz. What ends in a
# crash is mended and kept in fuzz/seeds, which `cargo test` plays.
fuzz target *options:
    mkdir -p fuzz/corpus/{{target}}
    RUSTC_WRAPPER=$PWD/fuzz/own-coverage cargo +nightly fuzz run --sanitizer none --no-trace-compares {{target}} fuzz/corpus/{{target}} fuzz/seeds dsl/tests/fixtures dsl/tests/format compiler/tests/fixtures -- -dict=fuzz/konductor.dict {{options}}

# How fast it is, beside a raw client on the same real API server, as lines of JSON; progress goes to stderr. All of it
# takes two hours; `just speed P5 P13` takes these rows, and `just speed --scale 1/100` shows in minutes whether all work.
speed *what:
    cargo build --release --package koncli
    KONCLI=target/release/koncli cargo bench --package konductor-tests --bench speed -- {{what}}

# The tables and charts of docs/benchmarks.md, from files with what `just speed` has printed.
publish +lines:
    python3 -m venv target/benchmarks
    target/benchmarks/bin/pip install --quiet pygal==3.1.3
    target/benchmarks/bin/python tests/benches/publish.py {{lines}}
