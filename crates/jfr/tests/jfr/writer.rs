//! Writes chunks by hand, value by value, in both forms of integers.

/// Values in a row.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) compressed: bool,
    pub(crate) out: Vec<u8>,
}

impl Values {
    pub(crate) fn new(compressed: bool) -> Self {
        Self {
            compressed,
            out: Vec::new(),
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    pub(crate) fn byte(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    fn varint(&mut self, mut value: u64) -> &mut Self {
        for _ in 0..8 {
            if value < 0x80 {
                break;
            }
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    pub(crate) fn short(&mut self, value: u16) -> &mut Self {
        if self.compressed {
            self.varint(u64::from(value))
        } else {
            self.raw(&value.to_be_bytes())
        }
    }

    pub(crate) fn int(&mut self, value: i32) -> &mut Self {
        if self.compressed {
            self.varint(u64::from(value.cast_unsigned()))
        } else {
            self.raw(&value.to_be_bytes())
        }
    }

    pub(crate) fn long(&mut self, value: i64) -> &mut Self {
        if self.compressed {
            self.varint(value.cast_unsigned())
        } else {
            self.raw(&value.to_be_bytes())
        }
    }

    pub(crate) fn longs(&mut self, values: &[i64]) -> &mut Self {
        for value in values {
            self.long(*value);
        }
        self
    }

    pub(crate) fn utf8(&mut self, text: &str) -> &mut Self {
        self.byte(3).int(text.len() as i32).raw(text.as_bytes())
    }
}

/// Ids of types, as async-profiler numbers them.
pub(crate) mod id {
    pub(crate) const BOOLEAN: i64 = 4;
    pub(crate) const CHAR: i64 = 5;
    pub(crate) const FLOAT: i64 = 6;
    pub(crate) const DOUBLE: i64 = 7;
    pub(crate) const BYTE: i64 = 8;
    pub(crate) const SHORT: i64 = 9;
    pub(crate) const INT: i64 = 10;
    pub(crate) const LONG: i64 = 11;
    pub(crate) const STRING: i64 = 20;
    pub(crate) const CLASS: i64 = 21;
    pub(crate) const THREAD: i64 = 22;
    pub(crate) const FRAME_TYPE: i64 = 24;
    pub(crate) const THREAD_STATE: i64 = 25;
    pub(crate) const STACK_TRACE: i64 = 26;
    pub(crate) const STACK_FRAME: i64 = 27;
    pub(crate) const METHOD: i64 = 28;
    pub(crate) const SYMBOL: i64 = 30;
    pub(crate) const EXECUTION: i64 = 101;
    pub(crate) const NEW_TLAB: i64 = 102;
    pub(crate) const OUTSIDE_TLAB: i64 = 103;
    pub(crate) const MONITOR_ENTER: i64 = 104;
    pub(crate) const THREAD_PARK: i64 = 105;
    pub(crate) const SETTING: i64 = 108;
    pub(crate) const LIVE_OBJECT: i64 = 115;
    pub(crate) const WALL_CLOCK: i64 = 118;
    pub(crate) const MALLOC: i64 = 119;
    pub(crate) const ALLOC_SAMPLE: i64 = 120;
    /// Free for types of single tests.
    pub(crate) const OTHER: i64 = 300;
}

/// A field: name, type, `p` for a constant, `a` for an array.
pub(crate) type Field = (&'static str, i64, &'static str);

/// Ticks have half a nanosecond.
pub(crate) const TICKS_PER_SECOND: u64 = 2_000_000_000;
pub(crate) const START: i64 = 1_700_000_000_000_000_000;
pub(crate) const DURATION: i64 = 10_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) compressed: bool,
    pub(crate) types: Vec<(i64, String, Vec<Field>)>,
    pub(crate) events: Vec<u8>,
}

const BASIC: [(i64, &str); 9] = [
    (id::BOOLEAN, "boolean"),
    (id::CHAR, "char"),
    (id::FLOAT, "float"),
    (id::DOUBLE, "double"),
    (id::BYTE, "byte"),
    (id::SHORT, "short"),
    (id::INT, "int"),
    (id::LONG, "long"),
    (id::STRING, "java.lang.String"),
];

/// Fields that events of our schema end with.
const CORRELATION: [Field; 5] = [
    ("contextId", id::LONG, ""),
    ("spanId", id::LONG, ""),
    ("spanName", id::LONG, ""),
    ("traceIdHi", id::LONG, ""),
    ("traceIdLo", id::LONG, ""),
];

impl Writer {
    /// A chunk with all types that mean something, and none of their constants.
    pub(crate) fn new(compressed: bool) -> Self {
        let mut writer = Self {
            compressed,
            types: Vec::new(),
            events: Vec::new(),
        };
        for (id, name) in BASIC {
            writer.class(id, name, &[]);
        }
        writer.class(
            id::SYMBOL,
            "jdk.types.Symbol",
            &[("string", id::STRING, "")],
        );
        writer.class(
            id::CLASS,
            "java.lang.Class",
            &[("name", id::SYMBOL, "p"), ("modifiers", id::INT, "")],
        );
        writer.class(
            id::METHOD,
            "jdk.types.Method",
            &[
                ("type", id::CLASS, "p"),
                ("name", id::SYMBOL, "p"),
                ("descriptor", id::SYMBOL, "p"),
                ("hidden", id::BOOLEAN, ""),
            ],
        );
        writer.class(
            id::FRAME_TYPE,
            "jdk.types.FrameType",
            &[("description", id::STRING, "")],
        );
        writer.class(
            id::THREAD_STATE,
            "jdk.types.ThreadState",
            &[("name", id::STRING, "")],
        );
        writer.threads_and_stacks();
        writer.samples();
        writer
    }

    fn threads_and_stacks(&mut self) {
        let writer = self;
        writer.class(
            id::THREAD,
            "java.lang.Thread",
            &[("osName", id::STRING, ""), ("javaName", id::STRING, "")],
        );
        writer.class(
            id::STACK_FRAME,
            "jdk.types.StackFrame",
            &[
                ("method", id::METHOD, "p"),
                ("lineNumber", id::INT, ""),
                ("bytecodeIndex", id::INT, ""),
                ("type", id::FRAME_TYPE, "p"),
            ],
        );
        writer.class(
            id::STACK_TRACE,
            "jdk.types.StackTrace",
            &[
                ("truncated", id::BOOLEAN, ""),
                ("frames", id::STACK_FRAME, "a"),
            ],
        );
    }

    fn samples(&mut self) {
        let writer = self;
        writer.sample(
            id::EXECUTION,
            "jdk.ExecutionSample",
            &[("state", id::THREAD_STATE, "p")],
        );
        writer.sample(
            id::WALL_CLOCK,
            "profiler.WallClockSample",
            &[("state", id::THREAD_STATE, "p"), ("samples", id::INT, "")],
        );
        writer.sample(
            id::NEW_TLAB,
            "jdk.ObjectAllocationInNewTLAB",
            &[("allocationSize", id::LONG, ""), ("tlabSize", id::LONG, "")],
        );
        writer.sample(
            id::OUTSIDE_TLAB,
            "jdk.ObjectAllocationOutsideTLAB",
            &[("allocationSize", id::LONG, "")],
        );
        writer.sample(
            id::ALLOC_SAMPLE,
            "jdk.ObjectAllocationSample",
            &[("weight", id::LONG, "")],
        );
        writer.sample(
            id::MONITOR_ENTER,
            "jdk.JavaMonitorEnter",
            &[("duration", id::LONG, "")],
        );
        writer.sample(
            id::THREAD_PARK,
            "jdk.ThreadPark",
            &[("duration", id::LONG, "")],
        );
        writer.sample(
            id::LIVE_OBJECT,
            "profiler.LiveObject",
            &[("allocationSize", id::LONG, "")],
        );
        writer.sample(id::MALLOC, "profiler.Malloc", &[("size", id::LONG, "")]);
        writer.class(
            id::SETTING,
            "jdk.ActiveSetting",
            &[
                ("startTime", id::LONG, ""),
                ("id", id::LONG, ""),
                ("name", id::STRING, ""),
                ("value", id::STRING, ""),
            ],
        );
    }

    pub(crate) fn class(&mut self, id: i64, name: &str, fields: &[Field]) {
        self.types.retain(|(known, _, _)| *known != id);
        self.types.push((id, name.to_owned(), fields.to_vec()));
    }

    fn sample(&mut self, id: i64, name: &str, own: &[Field]) {
        let first = [
            ("startTime", id::LONG, ""),
            ("eventThread", id::THREAD, "p"),
            ("stackTrace", id::STACK_TRACE, "p"),
        ];
        self.class(id, name, &[&first[..], own, &CORRELATION].concat());
    }

    pub(crate) fn values(&self) -> Values {
        Values::new(self.compressed)
    }

    /// An event with any fields.
    pub(crate) fn event(&mut self, id: i64, fields: impl FnOnce(&mut Values)) {
        let mut values = self.values();
        values.long(id);
        fields(&mut values);
        let event = self.sized(&values.out);
        self.events.extend(event);
    }

    /// A sample of our schema: its stack, its own fields, and what it belongs to.
    pub(crate) fn add(&mut self, id: i64, stack: i64, own: &[i64], correlation: [i64; 5]) {
        self.event(id, |values| {
            values.longs(&[7, 1, stack]);
            for (at, own) in own.iter().enumerate() {
                // The second own field of a wall clock sample is an int.
                if id == id::WALL_CLOCK && at == 1 {
                    values.int(*own as i32);
                } else {
                    values.long(*own);
                }
            }
            values.longs(&correlation);
        });
    }

    pub(crate) fn setting(&mut self, of: i64, name: &str, value: &str) {
        self.event(id::SETTING, |values| {
            values.longs(&[7, of]).utf8(name).utf8(value);
        });
    }

    /// A checkpoint event with one pool.
    pub(crate) fn constants(&mut self, of: i64, constants: &[(i64, Values)]) {
        let count = constants.len() as i32;
        self.event(1, |values| {
            values.longs(&[0, 0, 0]).byte(0).int(1).long(of).int(count);
            for (key, value) in constants {
                values.long(*key).raw(&value.out);
            }
        });
    }

    pub(crate) fn text(&mut self, of: i64, key: i64, text: &str) {
        let mut value = self.values();
        value.utf8(text);
        self.constants(of, &[(key, value)]);
    }

    /// A method and the symbols for it, whose keys follow from its own.
    pub(crate) fn method(&mut self, key: i64, class: &str, name: &str, descriptor: &str) {
        self.text(id::SYMBOL, key * 10, class);
        self.text(id::SYMBOL, key * 10 + 1, name);
        self.text(id::SYMBOL, key * 10 + 2, descriptor);
        let mut value = self.values();
        value.long(key * 10).int(1);
        self.constants(id::CLASS, &[(key, value)]);
        let mut value = self.values();
        value.longs(&[key, key * 10 + 1, key * 10 + 2]).byte(0);
        self.constants(id::METHOD, &[(key, value)]);
    }

    /// A stack of (method, line, frame type), leaf first.
    pub(crate) fn stack(&mut self, key: i64, truncated: bool, frames: &[(i64, i32, i64)]) {
        let mut value = self.values();
        value.byte(truncated.into()).int(frames.len() as i32);
        for (method, line, frame_type) in frames {
            value.long(*method).int(*line).int(0).long(*frame_type);
        }
        self.constants(id::STACK_TRACE, &[(key, value)]);
    }

    /// Two methods, a stack of both, and the thread states.
    pub(crate) fn usual(compressed: bool) -> Self {
        let mut writer = Self::new(compressed);
        for (key, state) in ["STATE_DEFAULT", "STATE_RUNNABLE", "STATE_SLEEPING"]
            .iter()
            .enumerate()
        {
            writer.text(id::THREAD_STATE, key as i64, state);
        }
        let kinds = [
            "Interpreted",
            "JIT compiled",
            "Inlined",
            "Native",
            "C++",
            "Kernel",
        ];
        for (key, kind) in kinds.iter().enumerate() {
            writer.text(id::FRAME_TYPE, key as i64, kind);
        }
        writer.method(1, "a/Leaf", "work", "()V");
        writer.method(2, "a/Main", "main", "([Ljava/lang/String;)V");
        writer.stack(5, false, &[(1, 12, 1), (2, 3, 0)]);
        writer
    }

    fn sized(&self, rest: &[u8]) -> Vec<u8> {
        let mut values = self.values();
        // The size counts itself.
        let head = (1..=5).find(|head| {
            let mut size = self.values();
            size.int((rest.len() + head) as i32);
            size.out.len() == *head
        });
        let size = rest.len() + head.expect("a size has one to five bytes");
        values.int(size as i32).raw(rest);
        values.out
    }

    pub(crate) fn metadata(&self) -> Vec<u8> {
        let mut strings = Strings::default();
        let mut tree = self.values();
        tree.int(strings.id("root")).int(0).int(1);
        tree.int(strings.id("metadata"))
            .int(0)
            .int(self.types.len() as i32);
        for (id, name, fields) in &self.types {
            tree.int(strings.id("class")).int(2);
            tree.int(strings.id("id")).int(strings.id(&id.to_string()));
            tree.int(strings.id("name")).int(strings.id(name));
            tree.int(fields.len() as i32 + 1);
            for (name, class, how) in fields {
                let flags = [("constantPool", 'p', "true"), ("dimension", 'a', "1")];
                let flags: Vec<_> = flags.iter().filter(|flag| how.contains(flag.1)).collect();
                tree.int(strings.id("field")).int(2 + flags.len() as i32);
                tree.int(strings.id("name")).int(strings.id(name));
                tree.int(strings.id("class"))
                    .int(strings.id(&class.to_string()));
                for (key, _, value) in flags {
                    tree.int(strings.id(key)).int(strings.id(value));
                }
                // An annotation with an element of its own, which says nothing about layouts.
                tree.int(1).int(strings.id("annotation")).int(0).int(0);
            }
            tree.int(strings.id("annotation")).int(0).int(1);
            tree.int(strings.id("field")).int(0).int(0);
        }
        let mut event = self.values();
        event.long(0).longs(&[0, 0, 1]);
        event.int(strings.0.len() as i32);
        for string in &strings.0 {
            event.utf8(string);
        }
        event.raw(&tree.out);
        self.sized(&event.out)
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let metadata = self.metadata();
        let size = 68 + metadata.len() + self.events.len();
        let mut out = Values::new(false);
        out.raw(b"FLR\0").raw(&[0, 2, 0, 0]);
        // The second says where the last checkpoint is.
        out.longs(&[size as i64, 68, 68, START, DURATION, 0]);
        out.raw(&TICKS_PER_SECOND.to_be_bytes());
        out.int(self.compressed.into());
        out.raw(&metadata).raw(&self.events);
        out.out
    }
}

#[derive(Default)]
struct Strings(Vec<String>);

impl Strings {
    fn id(&mut self, text: &str) -> i32 {
        let found = self.0.iter().position(|known| known == text);
        let at = found.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        at as i32
    }
}
