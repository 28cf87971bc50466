//! The lineage's file on a simulated disk: there as a whole, or as it was before.

use std::io;
use std::path::Path;

use crate::simulation::process::Process;
use crate::simulation::world;

pub fn read(_: &Path) -> io::Result<Option<String>> {
    let process = Process::current().expect("a file belongs to a process");
    let disk = world().disk(&process.host);
    let text = disk.lock().lineage.clone();
    Ok(text)
}

pub fn write(_: &Path, text: &str) -> io::Result<()> {
    let process = Process::current().expect("a file belongs to a process");
    if process.is_alive() {
        world().disk(&process.host).lock().lineage = Some(text.to_owned());
    }
    Ok(())
}
