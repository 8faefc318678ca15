//! Names of frames. Owns how Java's and native methods are told apart and spelt.

use std::borrow::Cow;

use crate::Error;
use crate::chunk::Chunk;
use crate::decode::UNKNOWN_FRAME;
use crate::slot::Slot;
use crate::types::Cell;

/// What async-profiler calls the descriptor of whatever is no method of Java; Java has none such.
const NATIVE_DESCRIPTOR: &str = "()L;";

/// A function's name and the class or library that it is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) file: String,
}

/// Names a method that ran as a frame of the given type.
pub(crate) fn named<'a>(
    chunk: &Chunk<'a>,
    method: Cell<'a>,
    frame_type: Cell<'a>,
) -> Result<Named<'a>, Error> {
    let (types, pools) = (&chunk.types, &chunk.pools);
    let wanted = [Slot::Type, Slot::Name, Slot::Descriptor];
    let [class, name, descriptor] = pools.parts(types, method, wanted)?;
    let [class] = pools.parts(types, class, [Slot::Name])?;
    let class = pools.text(types, class)?;
    let name = pools.text(types, name)?;
    let native = class.is_empty()
        || match &*pools.text(types, frame_type)? {
            "C++" | "Kernel" => true,
            // A native method of a Java class has this type too.
            "Native" => pools.text(types, descriptor)? == NATIVE_DESCRIPTOR,
            _ => false,
        };
    Ok(if !native {
        let file = class_name(&class);
        Named {
            name: format!("{file}.{name}").into(),
            file,
        }
    } else if name.is_empty() {
        Named {
            name: UNKNOWN_FRAME.into(),
            file: class.into_owned(),
        }
    } else {
        Named {
            name,
            file: class.into_owned(),
        }
    })
}

/// A class with dots, without the numbers that classes made at run time get, which differ from
/// process to process.
fn class_name(class: &str) -> String {
    let generated = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"x$./+".contains(&byte))
    };
    let hidden = |separator: &str| {
        let (before, address) = class.rsplit_once(separator)?;
        let hex = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then_some(before)
    };
    let numbered = class.trim_end_matches(|c: char| c.is_ascii_digit());
    let (stem, ending) = if let Some((before, after)) = class.split_once("$$Lambda")
        && generated(after)
    {
        (before, "$$Lambda$_")
    } else if let Some(before) = hidden("/0x")
        .or_else(|| hidden("+0x"))
        .or_else(|| hidden(".0x"))
    {
        (before, "_")
    } else if numbered.len() < class.len()
        && numbered.ends_with("Accessor")
        && numbered.contains("/reflect/Generated")
    {
        (numbered, "_")
    } else {
        (class, "")
    };
    let mut name = stem.replace('/', ".");
    name.push_str(ending);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_get_dots_and_lose_their_numbers() {
        for (class, expected) in [
            ("java/util/HashMap", "java.util.HashMap"),
            ("Main$Inner", "Main$Inner"),
            ("Main$1", "Main$1"),
            ("a/B$$Lambda$14.0x0000000800c03000", "a.B$$Lambda$_"),
            ("a/B$$Lambda$14/0x0000000800c03000", "a.B$$Lambda$_"),
            ("a/B$$Lambda$14+0x0000000800c03000", "a.B$$Lambda$_"),
            ("a/B$$Lambda+0x00007f1c0d002000", "a.B$$Lambda$_"),
            ("a/B$$Lambda$669/1234567", "a.B$$Lambda$_"),
            ("a/B$$LambdaOfMine", "a.B$$LambdaOfMine"),
            (
                "java/lang/invoke/LambdaForm$MH+0x0000000800c03000",
                "java.lang.invoke.LambdaForm$MH_",
            ),
            (
                "jdk/internal/reflect/GeneratedMethodAccessor31",
                "jdk.internal.reflect.GeneratedMethodAccessor_",
            ),
            ("a/MyAccessor31", "a.MyAccessor31"),
        ] {
            assert_eq!(class_name(class), expected, "{class}");
        }
    }
}
