//! The guide explains every function, in the words of the program.

#[test]
fn every_function_is_in_the_guide() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data.md");
    let guide = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    for signature in plimsoll_data::signatures() {
        let row = format!("| `{}` | {}", signature.form, signature.about);
        assert!(guide.contains(&row), "the guide lacks\n{row}");
    }
    let rows = guide.lines().filter(|line| line.starts_with("| `") && line.contains(")` | ")).count();
    assert_eq!(rows, plimsoll_data::signatures().len());
}
