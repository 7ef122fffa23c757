//! Pickles as data: the opcodes of protocols 0 to 5 (`pickletools.py` of Python) that build plain values. What Python would
//! import is kept as a name; what it would call goes to [`call`](super::call), which knows a handful of functions.

use std::collections::HashMap;

use super::call;
use super::heap::{Heap, Object, Value};
use super::input::Input;
use crate::error::ModelError;

/// Values on the stack; honest pickles go a few thousand high, where they put the items of a dict in.
const MOST_ON_STACK: usize = 1 << 16;

/// The value of the pickle that begins where the input stands; the input stands behind it then.
///
/// # Errors
/// When it is damaged, calls what it should not, or uses what no file of weights needs.
pub(super) fn load(input: &mut Input<'_>, heap: &mut Heap) -> Result<Value, ModelError> {
    let mut machine = Machine { heap, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let at = input.at();
        match input.byte()? {
            b'.' => return machine.pop().map_err(|why| input.broken(why)),
            opcode => match machine.step(opcode, input) {
                Ok(()) => {}
                Err(Stop::File(error)) => return Err(error),
                Err(Stop::Why(why)) => return Err(input.broken(format!("{why} (opcode at byte {at})"))),
            },
        }
        if machine.stack.len() > MOST_ON_STACK {
            return Err(input.broken("its pickle keeps more values at once than any file of weights; it is damaged"));
        }
    }
}

/// Why a pickle goes no further: the file ends or cannot be read, or what it says makes no sense.
enum Stop {
    File(ModelError),
    Why(String),
}

impl From<ModelError> for Stop {
    fn from(error: ModelError) -> Self {
        Self::File(error)
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

struct Machine<'a> {
    heap: &'a mut Heap,
    stack: Vec<Value>,
    /// Heights of the stack at which lists of arguments begin.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8, input: &mut Input<'_>) -> Result<(), Stop> {
        let value = match opcode {
            b'\x80' => return protocol(input.byte()?),
            // The length of a frame helps those who read ahead.
            b'\x95' => return Ok(input.skip(8)?),

            b'N' => Value::None,
            b'\x88' => Value::Bool(true),
            b'\x89' => Value::Bool(false),
            b'K' => Value::Int(input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(input.array()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(input.array()?).into()),
            b'I' | b'L' => number_of_line(&input.line()?)?,
            b'\x8a' => self.long(u64::from(input.byte()?), input)?,
            b'\x8b' => self.long(u32::from_le_bytes(input.array()?).into(), input)?,
            b'G' => {
                input.skip(8)?;
                Value::Float
            }
            b'F' => {
                input.line()?;
                Value::Float
            }

            b'\x8c' | b'U' => self.text(u64::from(input.byte()?), input)?,
            b'X' | b'T' => self.text(u32::from_le_bytes(input.array()?).into(), input)?,
            b'\x8d' => self.text(u64::from_le_bytes(input.array()?), input)?,
            b'V' => self.text_of_line(&input.line()?)?,
            b'S' => self.text_of_line(unquoted(&input.line()?)?)?,
            b'C' => self.bytes(u64::from(input.byte()?), input)?,
            b'B' => self.bytes(u32::from_le_bytes(input.array()?).into(), input)?,
            b'\x8e' | b'\x96' => self.bytes(u64::from_le_bytes(input.array()?), input)?,

            b')' => self.heap.add(Object::Tuple(Box::default()))?,
            b't' => self.tuple_from_mark()?,
            b'\x85' => self.tuple(1)?,
            b'\x86' => self.tuple(2)?,
            b'\x87' => self.tuple(3)?,
            b']' => self.heap.add(Object::List(Vec::new()))?,
            b'l' => {
                let items = self.take_to_mark()?;
                self.heap.add(Object::List(items))?
            }
            b'}' => self.heap.add(Object::Dict(Vec::new()))?,
            b'd' => {
                let items = self.take_to_mark()?;
                let dict = self.heap.add(Object::Dict(Vec::new()))?;
                self.heap.set_items(dict, &items)?;
                dict
            }
            b'a' => {
                let item = self.pop()?;
                let list = self.top()?;
                return Ok(self.heap.append(list, &[item])?);
            }
            b'e' => {
                let items = self.take_to_mark()?;
                let list = self.top()?;
                return Ok(self.heap.append(list, &items)?);
            }
            b's' => {
                let items = self.last::<2>()?;
                let dict = self.top()?;
                return Ok(self.heap.set_items(dict, &items)?);
            }
            b'u' => {
                let items = self.take_to_mark()?;
                let dict = self.top()?;
                return Ok(self.heap.set_items(dict, &items)?);
            }

            b'(' => return Ok(self.mark()?),
            b'0' => return Ok(self.drop_top()?),
            b'1' => return Ok(self.take_to_mark().map(drop)?),
            b'2' => self.top()?,

            b'q' => return Ok(self.memoise(input.byte()?.into())?),
            b'r' => return Ok(self.memoise(u32::from_le_bytes(input.array()?).into())?),
            b'p' => return Ok(self.memoise(index_of_line(&input.line()?)?)?),
            b'\x94' => return Ok(self.memoise(self.memo.len() as u64)?),
            b'h' => self.remembered(input.byte()?.into())?,
            b'j' => self.remembered(u32::from_le_bytes(input.array()?).into())?,
            b'g' => self.remembered(index_of_line(&input.line()?)?)?,

            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                self.heap.add(Object::Global(module.into(), name.into()))?
            }
            b'\x93' => self.global_from_stack()?,
            b'R' => {
                let [function, arguments] = self.last()?;
                call::call(self.heap, function, arguments)?
            }
            b'Q' => {
                let id = self.pop()?;
                call::storage(self.heap, id)?
            }
            b'b' => return Ok(self.set_state()?),
            b'\x81' => {
                let [class, _] = self.last()?;
                return Err(self.refuse(class));
            }
            b'\x92' => {
                let [class, _, _] = self.last()?;
                return Err(self.refuse(class));
            }
            b'o' => {
                let class = self.take_to_mark()?.first().copied().unwrap_or(Value::None);
                return Err(self.refuse(class));
            }
            b'i' => {
                let (module, name) = (input.line()?, input.line()?);
                let class = self.heap.add(Object::Global(module.into(), name.into()))?;
                return Err(self.refuse(class));
            }
            other => return Err(unknown(other)),
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(UNDERFLOW.to_owned());
        }
        self.stack.pop().ok_or_else(|| UNDERFLOW.to_owned())
    }

    fn top(&self) -> Result<Value, String> {
        self.stack.last().copied().ok_or_else(|| UNDERFLOW.to_owned())
    }

    /// Takes the uppermost values; the last of them was the top.
    fn last<const N: usize>(&mut self) -> Result<[Value; N], String> {
        let mut values = [Value::None; N];
        for value in values.iter_mut().rev() {
            *value = self.pop()?;
        }
        Ok(values)
    }

    fn mark(&mut self) -> Result<(), String> {
        self.heap.charge(size_of::<usize>())?;
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Takes what lies above the last mark, and the mark.
    fn take_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        Ok(self.stack.split_off(mark))
    }

    fn drop_top(&mut self) -> Result<(), String> {
        match self.marks.last() {
            Some(&mark) if mark == self.stack.len() => self.marks.pop().map(drop).ok_or_else(|| UNDERFLOW.to_owned()),
            _ => self.pop().map(drop),
        }
    }

    fn tuple(&mut self, count: usize) -> Result<Value, String> {
        let mut items = vec![Value::None; count];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.heap.add(Object::Tuple(items.into()))
    }

    fn tuple_from_mark(&mut self) -> Result<Value, String> {
        let items = self.take_to_mark()?;
        self.heap.add(Object::Tuple(items.into()))
    }

    fn memoise(&mut self, index: u64) -> Result<(), String> {
        // A number, a value, and the room that a table leaves free.
        self.heap.charge(4 * size_of::<Value>())?;
        let value = self.top()?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn remembered(&self, index: u64) -> Result<Value, String> {
        self.memo.get(&index).copied().ok_or_else(|| "its pickle asks for a value that it never kept".to_owned())
    }

    /// A whole number of so many bytes, the lowest first.
    fn long(&mut self, length: u64, input: &mut Input<'_>) -> Result<Value, Stop> {
        let bytes = input.bytes(length)?;
        let Some(&highest) = bytes.last() else { return Ok(Value::Int(0)) };
        if bytes.len() > size_of::<i64>() {
            return Ok(self.heap.add(Object::Bytes(bytes.into()))?);
        }
        let mut all = [if highest < 0x80 { 0 } else { 0xFF }; 8];
        all[..bytes.len()].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(all)))
    }

    /// Texts of Python 2 may hold anything; what is no UTF-8 is kept as bytes.
    fn text(&mut self, length: u64, input: &mut Input<'_>) -> Result<Value, Stop> {
        let object = match String::from_utf8(input.bytes(length)?) {
            Ok(text) => Object::Text(text.into()),
            Err(error) => Object::Bytes(error.into_bytes().into()),
        };
        Ok(self.heap.add(object)?)
    }

    fn text_of_line(&mut self, line: &str) -> Result<Value, String> {
        if line.contains('\\') {
            return Err("its pickle writes a text with escapes, as no file of weights does".to_owned());
        }
        self.heap.add(Object::Text(line.into()))
    }

    fn bytes(&mut self, length: u64, input: &mut Input<'_>) -> Result<Value, Stop> {
        let bytes = input.bytes(length)?;
        Ok(self.heap.add(Object::Bytes(bytes.into()))?)
    }

    fn global_from_stack(&mut self) -> Result<Value, String> {
        let [module, name] = self.last()?;
        match (self.heap.text(module), self.heap.text(name)) {
            (Some(module), Some(name)) => {
                let global = Object::Global(module.into(), name.into());
                self.heap.add(global)
            }
            _ => Err("its pickle imports something without a name".to_owned()),
        }
    }

    /// The state of an ordered dict says with which versions it was written; that of a tensor, what somebody noted on it.
    fn set_state(&mut self) -> Result<(), String> {
        let _state = self.pop()?;
        match self.heap.get(self.top()?) {
            Some(Object::Dict(_) | Object::Tensor(_)) => Ok(()),
            Some(Object::Global(module, name)) => Err(refused(module, name)),
            _ => Err("its pickle sets the state of something that has none".to_owned()),
        }
    }

    fn refuse(&self, class: Value) -> Stop {
        match self.heap.get(class) {
            Some(Object::Global(module, name)) => Stop::Why(refused(module, name)),
            _ => Stop::Why("its pickle makes an object of something that is no class".to_owned()),
        }
    }
}

const UNDERFLOW: &str = "its pickle takes more values than there are";

fn refused(module: &str, name: &str) -> String {
    format!("refused: its pickle calls {module}.{name}; files of weights need nothing of the kind")
}

fn protocol(version: u8) -> Result<(), Stop> {
    if version <= 5 { Ok(()) } else { Err(Stop::Why(format!("its pickle is of protocol {version}; 0 to 5 are read"))) }
}

fn unknown(opcode: u8) -> Stop {
    Stop::Why(match opcode {
        b'P' => "its pickle refers to a storage by text, as torch never does".to_owned(),
        _ => format!("its pickle uses opcode {opcode:#04x}, which no file of weights needs"),
    })
}

/// `5`, `5L`, and `00` and `01`, which are false and true.
fn number_of_line(line: &str) -> Result<Value, String> {
    match line {
        "00" => Ok(Value::Bool(false)),
        "01" => Ok(Value::Bool(true)),
        _ => {
            let number = line.strip_suffix('L').unwrap_or(line).parse();
            number.map(Value::Int).map_err(|_| "its pickle writes a number that is none".to_owned())
        }
    }
}

fn index_of_line(line: &str) -> Result<u64, String> {
    line.parse().map_err(|_| "its pickle keeps a value under something that is no number".to_owned())
}

fn unquoted(line: &str) -> Result<&str, String> {
    let inside = |quote| line.strip_prefix(quote)?.strip_suffix(quote);
    inside('\'').or_else(|| inside('"')).ok_or_else(|| "its pickle writes a text without quotes".to_owned())
}
