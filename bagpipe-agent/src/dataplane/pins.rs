//! Directories of pins: what is removed with them, and what an agent with another map ABI left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Removes the directories of other versions of the map ABI that lie beside `current`: with their links, programs of
/// that version leave the underlay interfaces. Their maps mean nothing to this version, so forwarding begins anew.
///
/// # Errors
/// The first thing that could not be read or removed.
pub(crate) fn remove_other_versions(current: &Path) -> io::Result<()> {
    let Some(instance) = current.parent() else { return Ok(()) };
    for directory in entries(instance)? {
        if directory != current {
            remove(&directory, &mut Vec::new())?;
            tracing::info!(pins = %directory.display(), "removed what another version left; forwarding begins anew");
        }
    }
    Ok(())
}

/// Removes a directory of pins, if it is there, and adds what was removed, in words. Links go first, so that no program
/// runs without its maps' pins; "links" sorts before "maps" and "programs".
///
/// # Errors
/// The first thing that could not be read or removed.
pub(crate) fn remove(directory: &Path, removed: &mut Vec<String>) -> io::Result<()> {
    if !directory.try_exists()? {
        return Ok(());
    }
    for path in entries(directory)? {
        if path.is_dir() {
            remove(&path, removed)?;
        } else {
            fs::remove_file(&path)?;
            removed.push(format!("pin {}", path.display()));
        }
    }
    fs::remove_dir(directory)?;
    removed.push(format!("directory {}", directory.display()));
    Ok(())
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort_unstable();
    Ok(paths)
}
