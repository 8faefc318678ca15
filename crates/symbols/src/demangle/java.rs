//! Names of the Java world: descriptors as virtual machines write them, and native methods.

use super::Mode;

/// `None` if there is nothing to tidy.
pub(super) fn tidy(name: &str, mode: Mode) -> Option<String> {
    descriptor(name, mode).or_else(|| native(name))
}

/// `Ljava/util/HashMap;::get` and `Ljava/util/HashMap;.get(I)V`: as perf maps have it.
fn descriptor(name: &str, mode: Mode) -> Option<String> {
    let (class, method) = name.strip_prefix('L')?.split_once(';')?;
    let method = method.strip_prefix("::").or(method.strip_prefix('.'))?;
    let is_path = |c: char| c.is_alphanumeric() || "/_$-+.".contains(c);
    if class.is_empty() || method.is_empty() || !class.chars().all(is_path) {
        return None;
    }
    let (method, signature) = match method.find('(') {
        Some(at) if at > 0 => method.split_at(at),
        _ => (method, ""),
    };
    let class = class.replace('/', ".");
    let parameters = match (mode, signature) {
        (Mode::Full, signature) if !signature.is_empty() => parameters(signature)?,
        _ => String::new(),
    };
    Some(format!("{class}.{method}{parameters}"))
}

/// `(ILjava/lang/String;[J)V` as `(int, java.lang.String, long[])`.
fn parameters(signature: &str) -> Option<String> {
    let (mut rest, _) = signature.strip_prefix('(')?.split_once(')')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let arrays = rest.bytes().take_while(|&b| b == b'[').count();
        rest = &rest[arrays..];
        let kind = rest.chars().next()?;
        rest = &rest[kind.len_utf8()..];
        let name = match kind {
            'B' => "byte".to_owned(),
            'C' => "char".to_owned(),
            'D' => "double".to_owned(),
            'F' => "float".to_owned(),
            'I' => "int".to_owned(),
            'J' => "long".to_owned(),
            'S' => "short".to_owned(),
            'Z' => "boolean".to_owned(),
            'L' => {
                let (class, after) = rest.split_once(';')?;
                rest = after;
                class.replace('/', ".")
            }
            _ => return None,
        };
        names.push(name + &"[]".repeat(arrays));
    }
    Some(format!("({})", names.join(", ")))
}

/// `Java_com_example_My_1Class_run`: the name of a native method, as the linker sees it.
fn native(name: &str) -> Option<String> {
    let rest = name.strip_prefix("Java_")?;
    // Two underscores begin the parameters of a method that is overloaded.
    let rest = rest.split("__").next()?;
    let mut tidy = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c != '_' {
            tidy.push(c);
            continue;
        }
        let mut after = chars.clone();
        match after.next() {
            Some('0') => {
                let digits: String = after.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok()?;
                tidy.push(char::from_u32(code)?);
                chars = after;
            }
            Some('1') => {
                tidy.push('_');
                chars = after;
            }
            // What only parameters have.
            Some('2' | '3') => return None,
            _ => tidy.push('.'),
        }
    }
    let whole = tidy.contains('.') && !tidy.starts_with('.') && !tidy.ends_with('.');
    whole.then_some(tidy)
}
