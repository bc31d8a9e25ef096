//! Root file systems of the two supported Debian releases and of the next, and the layer with our packages installed.
//!
//! Owns the cache. An entry is made aside and renamed into place, its name holds a hash of everything it was made from,
//! and it is never changed afterwards; a machine sees it only through an overlay ([`crate::overlay`]).

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Result};
use crate::overlay::Overlay;
use crate::packages::Packages;
use crate::program::run_host;

/// What every machine holds, beyond Debian's minimal set. The dependencies of our packages are among them, because a
/// machine has no network to fetch them by.
const CONTENT: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "polkitd",
    "openssl",
    "ca-certificates",
    "curl",
    "iproute2",
    "procps",
    "nginx-light",
    // Servers of names that take updates, and what asks them.
    "bind9",
    "bind9-dnsutils",
    "knot",
    // The pages that the units name, and the shells that complete.
    "man-db",
    "bash-completion",
    "fish",
    "zsh",
    // A TPM in software: a container has no other.
    "swtpm",
    "libtss2-tcti-swtpm0",
    "libtss2-esys-3.0.2-0",
    "libtss2-rc0",
    // Clients of the sample API besides curl and openssl; the second one is written in Go.
    "python3",
    "prometheus-blackbox-exporter",
    // For the .rpm, and for the AppArmor snippets of the .deb.
    "rpm",
    "apparmor",
];

/// What the supported releases hold besides: the policy that the .rpm adds file contexts to. Unstable has one that cannot
/// be installed at times.
const POLICY: &[&str] = &["policycoreutils", "selinux-policy-default"];

/// A fixed machine id: an empty one would make every boot a first boot, which enables all units.
const MACHINE_ID: &str = "5e1f0000c0ffee00000000005e1f0001\n";

/// Makes a release's tree a machine: a name, a journal that survives a reboot, and no unit that a scenario did not ask
/// for.
const CUSTOMISE: &str = r#"
echo renewd-test > "$1/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 renewd-test\n::1 localhost\n' > "$1/etc/hosts"
mkdir -p "$1/var/log/journal"
rm -f "$1/etc/nginx/sites-enabled/default"
systemctl --quiet --root="$1" disable nginx.service prometheus-blackbox-exporter.service named.service knot.service
systemctl --quiet --root="$1" mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    console-getty.service apparmor.service selinux-autorelabel-mark.service
"#;

/// Installs packages in a tree in which no systemd runs, so that the maintainer scripts enable the units and start none.
/// Arguments: the tree, the host's directory of the packages, their paths in the machine.
const INSTALL: &str = r#"
mkdir -p "$1/packages"
mount --bind "$2" "$1/packages"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes $3
"#;

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debian {
    /// Debian 12, systemd 252.
    Bookworm,
    /// Debian 13, systemd 257.
    Trixie,
    /// Debian's unstable, with whatever systemd is the newest.
    Sid,
}

impl Debian {
    /// The supported ones, oldest first.
    pub const SUPPORTED: [Self; 2] = [Self::Bookworm, Self::Trixie];

    fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }
}

impl Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bookworm => "debian 12",
            Self::Trixie => "debian 13",
            Self::Sid => "debian sid",
        })
    }
}

/// The directory that the root file systems are kept in.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Uses `$RENEWD_CACHE`, or else `rootfs` beside the directory that this program was built into.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open() -> Result<Self> {
        let directory = match std::env::var_os("RENEWD_CACHE") {
            Some(path) => PathBuf::from(path),
            None => target_directory()?.join("rootfs"),
        };
        fs::create_dir_all(&directory).map_err(Failure::io("make the cache", &directory))?;
        Ok(Self { directory })
    }

    /// The tree of a bare release, made by `mmdebstrap` when it is not there yet.
    ///
    /// # Errors
    /// When `mmdebstrap` fails; its output is in the error.
    pub fn bare(&self, debian: Debian) -> Result<PathBuf> {
        let content = match debian {
            Debian::Sid => CONTENT.join(","),
            Debian::Bookworm | Debian::Trixie => [CONTENT, POLICY].concat().join(","),
        };
        let recipe = [content.clone(), CUSTOMISE.to_owned(), MACHINE_ID.to_owned()].concat();
        self.entry(
            &format!("{}-{:016x}", debian.suite(), fingerprint(recipe.as_bytes())),
            |aside| {
                let include = format!("--include={content}");
                let hook = format!("--customize-hook={CUSTOMISE}");
                let (target, mirror) = (aside.display().to_string(), mirror());
                let argv = [
                    "mmdebstrap",
                    "--quiet",
                    "--mode=root",
                    "--variant=minbase",
                    // Mirrors keep unstable for longer than its index says.
                    "--aptopt=Acquire::Check-Valid-Until \"false\"",
                    &include,
                    &hook,
                    debian.suite(),
                    &target,
                    &mirror,
                ];
                run_host(&argv, Duration::from_secs(600))?;
                // Here and not by the hook, after which mmdebstrap empties it.
                let id = aside.join("etc/machine-id");
                fs::write(&id, MACHINE_ID).map_err(Failure::io("write", &id))
            },
        )
    }

    /// The layer to lay over [`Cache::bare`] that holds our installed packages, none of which was ever started.
    ///
    /// # Errors
    /// When `apt` refuses the packages; its output is in the error.
    pub fn installed(&self, debian: Debian, packages: &Packages) -> Result<PathBuf> {
        let bare = self.bare(debian)?;
        let base = bare
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.entry(
            &format!("{base}-installed-{:016x}", packages.fingerprint()?),
            |aside| {
                let scratch = aside.with_extension("scratch");
                fs::create_dir_all(&scratch).map_err(Failure::io("make", &scratch))?;
                let overlay = Overlay::on_disk(&[&bare], aside, &scratch)?;
                let root = overlay.root().display().to_string();
                let source = packages.directory().display().to_string();
                let install = packages.in_machine().join(" ");
                let argv = [
                    "unshare",
                    "--mount",
                    "--net",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "sh",
                    "-euc",
                    INSTALL,
                    "install",
                ];
                let argv = [&argv[..], &[&root, &source, &install]].concat();
                let installed = run_host(&argv, Duration::from_secs(120));
                drop(overlay);
                fs::remove_dir_all(&scratch).map_err(Failure::io("remove", &scratch))?;
                installed.map(drop)
            },
        )
    }

    /// Makes an entry once, however many runners ask for it at the same time.
    fn entry(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let (path, aside) = (
            self.directory.join(name),
            self.directory.join(format!("{name}.new")),
        );
        let lock = self.directory.join(format!("{name}.lock"));
        File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(Failure::io("lock", &lock))
            .and_then(|_held| {
                if !path.exists() {
                    fs::remove_dir_all(&aside)
                        .or_else(absent)
                        .map_err(Failure::io("remove", &aside))?;
                    make(&aside)?;
                    fs::rename(&aside, &path).map_err(Failure::io("rename", &aside))?;
                }
                Ok(path)
            })
    }
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Cargo's target directory: the program lies in `TARGET/PROFILE/`.
///
/// # Errors
/// When the system does not say where the program is.
pub fn target_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(Failure::io("find", "the running program"))?;
    Ok(program
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_owned())
}

/// FNV-1a: names a cache entry by its content, the same in every build of this program.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The Debian mirror that the host itself uses, so that a site's own mirror is respected; else Debian's.
fn mirror() -> String {
    let places = ["/etc/apt/sources.list", "/etc/apt/sources.list.d"].map(Path::new);
    let nested = fs::read_dir(places[1])
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let sources = std::iter::once(places[0].to_owned())
        .chain(nested)
        .filter_map(|path| fs::read_to_string(path).ok());
    sources
        .filter_map(|text| mirror_in(&text))
        .next()
        .unwrap_or_else(|| "http://deb.debian.org/debian".to_owned())
}

fn mirror_in(sources: &str) -> Option<String> {
    let lines = sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'));
    words
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats_and_not_in_a_comment() {
        assert_eq!(
            mirror_in("deb https://mirror.test/debian/ bookworm main").unwrap(),
            "https://mirror.test/debian"
        );
        assert_eq!(
            mirror_in("Types: deb\nURIs: http://a.test/debian\n").unwrap(),
            "http://a.test/debian"
        );
        assert_eq!(
            mirror_in("# http://old.test/debian\ndeb http://a.test/ubuntu noble main"),
            None
        );
    }

    #[test]
    fn the_fingerprint_is_the_published_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
