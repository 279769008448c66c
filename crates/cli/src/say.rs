//! Words for people that nobody may be there to hear.
//!
//! `print!` panics when its reader has gone (`plimsoll run … | head`) or the disk behind it is full. A
//! run must be concluded all the same: what cannot be said is dropped, record and exit code stand.

/// Prints to standard output, without a line feed after it.
macro_rules! out {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stdout(), $($words)*);
    }};
}

/// Prints to standard error, without a line feed after it.
macro_rules! err {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(anstream::stderr(), $($words)*);
    }};
}

/// Prints a line to standard output.
macro_rules! outln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stdout(), $($words)*);
    }};
}

/// Prints a line to standard error.
macro_rules! errln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(anstream::stderr(), $($words)*);
    }};
}

pub(crate) use {err, errln, out, outln};
