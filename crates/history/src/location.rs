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

/// The file behind a path, `sqlite:PATH` or `sqlite://PATH`.
pub(crate) fn file(location: &Path) -> Result<PathBuf, Error> {
    let Some(text) = location.to_str() else { return Ok(location.to_owned()) };
    if let Some(path) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
        return Ok(path.into());
    }
    match text.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            Err(Error::Scheme { scheme: scheme.to_owned() })
        }
        _ => Ok(location.to_owned()),
    }
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
    fn a_location_is_a_path_with_or_without_its_scheme() {
        let check = |location: &str, expected: &str| {
            assert_eq!(file(Path::new(location)).unwrap(), Path::new(expected));
        };
        check("a/b.db", "a/b.db");
        check("/a/b.db", "/a/b.db");
        check("sqlite:a/b.db", "a/b.db");
        check("sqlite:///a/b.db", "/a/b.db");
        check("C:odd name", "C:odd name");
        let error = file(Path::new("postgres://user:word@host/db")).unwrap_err();
        assert_eq!(error.to_string(), "history in `postgres:` is not supported, give a path or sqlite:PATH");
    }
}
