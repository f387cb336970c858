use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use tl_model::limits::SCHEMA_NESTING_MAX;

use crate::{SchemaError, excerpt};

/// The package of protobuf's own messages.
pub(super) const GOOGLE: &str = "google.protobuf";

/// Compiles the source of one file, which may import protobuf's own.
pub(super) fn source(source: &[u8]) -> Result<DescriptorPool, SchemaError> {
    let source = std::str::from_utf8(source)
        .map_err(|_| SchemaError("a .proto file is text in UTF-8".to_owned()))?;
    if nesting(source) > SCHEMA_NESTING_MAX {
        let text = format!("the schema is nested deeper than {SCHEMA_NESTING_MAX} levels");
        return Err(SchemaError(text));
    }
    let mut files = ChainFileResolver::new();
    files.add(OneFile(source.to_owned()));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file(FILE).map_err(|error| {
        SchemaError(format!("not a .proto file that stands alone: {}", excerpt(&error.to_string())))
    })?;
    without_extensions(compiler.descriptor_pool())
}

/// Reads descriptors as compilers write them.
pub(super) fn descriptors(set: &[u8]) -> Result<DescriptorPool, SchemaError> {
    let is_none = |error: &dyn std::fmt::Display| {
        SchemaError(format!(
            "not a FileDescriptorSet with all that it imports (`--include_imports`): {}",
            excerpt(&error.to_string())
        ))
    };
    check_syntax(&FileDescriptorSet::decode(set).map_err(|error| is_none(&error))?)?;
    without_extensions(DescriptorPool::decode(set).map_err(|error| is_none(&error))?)
}

/// The library panics at any other syntax, such as that of editions.
fn check_syntax(set: &FileDescriptorSet) -> Result<(), SchemaError> {
    let is_known = |syntax: &&str| ["proto2", "proto3"].contains(syntax);
    let mut others = set.file.iter().filter_map(|file| file.syntax.as_deref());
    match others.find(|syntax| !is_known(syntax)) {
        None => Ok(()),
        Some(other) => Err(SchemaError(format!(
            "a file has the syntax `{}`; use proto3 or proto2",
            excerpt(other)
        ))),
    }
}

/// Extensions of other messages than options would have to be compared, too, and nobody misses them.
fn without_extensions(pool: DescriptorPool) -> Result<DescriptorPool, SchemaError> {
    let is_option = |name: &str| name.starts_with(GOOGLE);
    let extended = pool.all_extensions().map(|it| it.containing_message());
    let mut extended = extended.filter(|message| !is_option(message.full_name()));
    let first = extended.next();
    drop(extended);
    match first {
        None => Ok(pool),
        Some(message) => Err(SchemaError(format!(
            "extensions are not supported; put the fields into {}",
            message.full_name()
        ))),
    }
}

/// The deepest nesting of brackets outside of strings and comments.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            _ if rest.starts_with("//") => rest.split_once('\n').map_or("", |(_, rest)| rest),
            _ if rest.starts_with("/*") => rest[2..].split_once("*/").map_or("", |(_, rest)| rest),
            '"' | '\'' => behind_string(&rest[1..], first),
            _ => {
                match first {
                    '{' | '[' | '(' | '<' => depth += 1,
                    '}' | ']' | ')' | '>' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                &rest[first.len_utf8()..]
            }
        };
        deepest = deepest.max(depth);
    }
    deepest
}

fn behind_string(text: &str, quote: char) -> &str {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = !is_escaped && (*c == quote || *c == '\n');
        is_escaped = !is_escaped && *c == '\\';
        ends
    });
    end.map_or("", |(at, c)| &text[at + c.len_utf8()..])
}

/// The only file there is.
struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            FILE => File::from_source(FILE, &self.0),
            name => Err(protox::Error::file_not_found(name)),
        }
    }
}

const FILE: &str = "schema.proto";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_brackets_that_count_are_counted() {
        assert_eq!(nesting("message A { message B { } }"), 2);
        assert_eq!(nesting("{ // }\n { /* } */ { \"}\\\"}\" '}'"), 3);
        assert_eq!(nesting("// {{{\n/* {{{ */ \"{{{\""), 0);
    }
}
