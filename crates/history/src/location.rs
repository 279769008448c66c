use std::path::{Path, PathBuf};

use crate::Error;

/// Where the record of a user lies when nobody says otherwise: `plimsoll/history.db` in the user's
/// data directory. `data_home` is `$XDG_DATA_HOME` (ignored unless absolute, as its specification
/// asks), `home` the home directory; `None` without either.
pub fn default_path(data_home: Option<&Path>, home: Option<&Path>) -> Option<PathBuf> {
    let data = match (data_home.filter(|path| path.is_absolute()), home) {
        (Some(data_home), _) => data_home.to_owned(),
        (None, Some(home)) => home.join(".local/share"),
        (None, None) => return None,
    };
    Some(data.join("plimsoll/history.db"))
}

/// Where a record is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// In a file of SQLite.
    File(PathBuf),
    /// In a database of PostgreSQL, by its URL.
    Postgres(String),
}

/// What a path, `sqlite:PATH`, `sqlite://PATH` or `postgres://...` means.
pub(crate) fn parse(location: &Path) -> Result<Location, Error> {
    let Some(text) = location.to_str() else { return Ok(Location::File(location.to_owned())) };
    if let Some(path) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
        return Ok(Location::File(path.into()));
    }
    match text.split_once("://") {
        Some(("postgres" | "postgresql", _)) => Ok(Location::Postgres(text.to_owned())),
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            Err(Error::Scheme { scheme: scheme.to_owned() })
        }
        _ => Ok(Location::File(location.to_owned())),
    }
}

/// A file as the URL that SQLite's driver takes, whatever is in its name.
///
/// # Errors
/// When its directory is not there.
pub(crate) fn url(file: &Path) -> std::io::Result<String> {
    let name = file.file_name().ok_or_else(|| std::io::Error::other("no file is named"))?;
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The driver would resolve `..` by name alone.
    let absolute = directory.canonicalize()?.join(name);
    let mut url = "sqlite://".to_owned();
    for byte in absolute.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    Ok(url + "?mode=rwc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_data_directory() {
        let check = |data_home: Option<&str>, home: Option<&str>, expected: Option<&str>| {
            assert_eq!(
                default_path(data_home.map(Path::new), home.map(Path::new)).as_deref(),
                expected.map(Path::new)
            );
        };
        check(Some("/data"), Some("/home/a"), Some("/data/plimsoll/history.db"));
        check(Some("relative"), Some("/home/a"), Some("/home/a/.local/share/plimsoll/history.db"));
        check(None, Some("/home/a"), Some("/home/a/.local/share/plimsoll/history.db"));
        check(None, None, None);
    }

    #[test]
    fn any_name_of_a_file_has_a_url() {
        let directory = tempfile::tempdir().unwrap();
        let url = url(&directory.path().join("a b?%#ä.db")).unwrap();
        assert!(url.ends_with("/a%20b%3F%25%23%C3%A4.db?mode=rwc"), "{url}");
    }

    #[test]
    fn a_location_is_a_path_with_or_without_its_scheme() {
        let check = |location: &str, expected: &str| {
            assert_eq!(parse(Path::new(location)).unwrap(), Location::File(expected.into()));
        };
        check("a/b.db", "a/b.db");
        check("/a/b.db", "/a/b.db");
        check("sqlite:a/b.db", "a/b.db");
        check("sqlite:///a/b.db", "/a/b.db");
        check("C:odd name", "C:odd name");
        for url in ["postgres://user:word@host/db", "postgresql:///db"] {
            assert_eq!(parse(Path::new(url)).unwrap(), Location::Postgres(url.into()));
        }
        let error = parse(Path::new("mysql://user:word@host/db")).unwrap_err().to_string();
        assert!(
            error.starts_with("history in `mysql:` is not supported") && !error.contains("word"),
            "{error}"
        );
    }
}
