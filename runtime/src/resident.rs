//! The memory of this process.

/// Resident memory; 0 if the kernel does not report it.
pub fn resident_bytes() -> u64 {
    let pages = || std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    pages().unwrap_or(0) * page_bytes as u64
}
