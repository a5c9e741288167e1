/// A 64-bit hash that is the same in every run with the same seed (Swift's own is seeded anew each time), of fields that
/// keep their borders: ("ab", "c") differs from ("a", "bc"), nil from "".
///
/// Multiply-and-fold over words of eight bytes. Who looks up by it compares the fields too; a seed that the writer of the
/// fields cannot know keeps him from making many that collide.
struct StableHash {
  private var state: UInt64

  init(seed: UInt64 = 0x9E37_79B9_7F4A_7C15) { state = seed }

  private mutating func mix(_ word: UInt64) {
    let product = (state ^ word).multipliedFullWidth(by: 0xA076_1D64_78BD_642F)
    state = product.high ^ product.low &+ 0xE703_7ED1_A0B4_28DB
  }

  mutating func combine(_ value: Int64) { mix(UInt64(bitPattern: value)) }

  mutating func combine(_ value: Int64?) {
    mix(value == nil ? 0 : 1)
    if let value { mix(UInt64(bitPattern: value)) }
  }

  mutating func combine(_ value: String?) {
    guard var value else {
      mix(.max)
      return
    }
    value.withUTF8 { text in
      var word: UInt64 = 0
      var filled = 0
      for byte in text {
        word = word << 8 | UInt64(byte)
        filled += 1
        if filled == 8 {
          mix(word)
          word = 0
          filled = 0
        }
      }
      mix(word)
      mix(UInt64(text.count))
    }
  }

  /// What columns of numbers and texts hold.
  mutating func combine(_ value: Value) {
    switch value {
    case .integer(let number): combine(Optional(number))
    case .text(let text): combine(text)
    case .null: combine(Optional<String>.none)
    case .real, .blob: preconditionFailure("only numbers and texts are hashed")
    }
  }

  var value: Int64 { Int64(bitPattern: state ^ state >> 29) }
  var hexadecimal: String {
    let digits = String(UInt64(bitPattern: value), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
