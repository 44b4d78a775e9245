//! The program `tidegate`.

/// What workers hand to each other is allocated on one thread and freed on another, which the allocators of C libraries
/// are slow at: `cargo bench -p tidegate-benches -- windows` shows it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    tidegate::cli::main()
}
