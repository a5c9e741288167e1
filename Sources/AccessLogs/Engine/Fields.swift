/// The columns of the line at hand: one slice and one number per role, in memory that is allocated once.
///
/// A plan writes every slot of its own on every line that matches, so nothing is cleared between lines of one plan; slots of
/// other plans are reset when the plan changes.
struct Fields: ~Copyable {
  private let slices: UnsafeMutablePointer<Slice>
  private let numbers: UnsafeMutablePointer<Int64>
  /// How the value of a slot is escaped, for the builders' slow paths.
  private let escapings: UnsafeMutablePointer<FormatField.Escaping>
  static let count = FieldRole.allCases.count

  /// Slots behind those of the roles: what the row builders cut out of the columns, so that keys are made of slots alone.
  /// They are written for each line before they are read.
  enum Part: UInt8, CaseIterable {
    /// Address of the client, and of the proxy itself.
    case client, proxy
    /// Scheme, host and port of an absolute request target.
    case origin
    /// What stands in place of a request target when there was no request.
    case pseudo
    /// Parts of a request line.
    case requestMethod, requestProtocol
    /// The templated path.
    case template

    /// Number of the slot.
    var slot: UInt8 { UInt8(truncatingIfNeeded: Fields.count) &+ rawValue }
  }

  /// Slices and numbers of a line, one behind the other.
  static let slots = count + Part.allCases.count

  /// - Parameter slices, numbers: room for `slots` of each, which outlives the fields.
  init(_ slices: UnsafeMutablePointer<Slice>, _ numbers: UnsafeMutablePointer<Int64>) {
    self.slices = slices
    self.numbers = numbers
    escapings = .allocate(capacity: Self.count)
    slices.initialize(repeating: .absent, count: Self.slots)
    numbers.initialize(repeating: Numbers.missing, count: Self.slots)
    escapings.initialize(repeating: .raw, count: Self.count)
  }

  deinit { escapings.deallocate() }

  func reset() {
    slices.update(repeating: .absent, count: Self.count)
    numbers.update(repeating: Numbers.missing, count: Self.count)
    escapings.update(repeating: .raw, count: Self.count)
  }

  /// Empties the slots; how their values are escaped stays.
  func resetValues() {
    slices.update(repeating: .absent, count: Self.count)
    numbers.update(repeating: Numbers.missing, count: Self.count)
  }

  @inline(__always) subscript(role: FieldRole) -> Slice {
    get { slices[Int(role.rawValue)] }
    nonmutating set { slices[Int(role.rawValue)] = newValue }
  }

  @inline(__always) subscript(part: Part) -> Slice {
    get { slices[Int(part.slot)] }
    nonmutating set { slices[Int(part.slot)] = newValue }
  }

  /// The number of a column: milliseconds, bytes, or plain; `Numbers.missing` when there is none.
  @inline(__always) func number(_ role: FieldRole) -> Int64 { numbers[Int(role.rawValue)] }

  @inline(__always) func number(_ slot: Int) -> Int64 { numbers[slot] }
  @inline(__always) func setNumber(_ value: Int64, _ slot: Int) { numbers[slot] = value }
  @inline(__always) func setSlice(_ slice: Slice, _ slot: Int) { slices[slot] = slice }
  @inline(__always) func slice(_ slot: Int) -> Slice { slices[slot] }

  /// All slices, to compare two splits of one line.
  var snapshot: [Slice] { (0..<Self.count).map { $0 == Int(FieldRole.ignored.rawValue) ? .absent : slices[$0] } }

  func escaping(of role: FieldRole) -> FormatField.Escaping { escapings[Int(role.rawValue)] }
  func setEscaping(_ escaping: FormatField.Escaping, _ slot: Int) { escapings[slot] = escaping }

  /// The value with its escapes undone; only for dictionary entries. nil when missing.
  func text(_ role: FieldRole) -> String? {
    let slice = self[role]
    return slice.isMissing ? nil : Unescape.string(slice, escaping(of: role))
  }
}

extension String {
  /// Host names and header values are compared in ASCII lower case.
  var asciiLowercased: String {
    var text = self
    return text.withUTF8 { bytes in
      guard bytes.contains(where: ASCII.isUpper) else { return self }
      return String(unsafeUninitializedCapacity: bytes.count) { lower in
        for index in bytes.indices { lower[index] = ASCII.lower(bytes[index]) }
        return bytes.count
      }
    }
  }
}

/// Undoes the escapes of the three proxies.
enum Unescape {
  static func string(_ slice: Slice, _ escaping: FormatField.Escaping) -> String {
    switch escaping {
    case .raw: return slice.string
    case .percent:
      return slice.firstIndex(of: ASCII.percent) == nil ? slice.string : String(decoding: percent(slice), as: UTF8.self)
    case .nginx, .json, .backslash, .shell:
      return slice.firstIndex(of: ASCII.backslash) == nil
        ? slice.string : String(decoding: backslashes(slice), as: UTF8.self)
    }
  }

  static func percent(_ slice: Slice) -> [UInt8] {
    var out: [UInt8] = []
    var p = slice.start
    while p < slice.end {
      if p.pointee == ASCII.percent, slice.end - p >= 3 {
        let high = ASCII.hexValue(p[1])
        let low = ASCII.hexValue(p[2])
        if high < 16, low < 16 {
          out.append(high << 4 | low)
          p += 3
          continue
        }
      }
      out.append(p.pointee)
      p += 1
    }
    return out
  }

  /// `\xHH`, `\uHHHH` (with surrogate pairs), `\n`, `\r`, `\t`, `\b`, `\f`, and the escaped character itself.
  static func backslashes(_ slice: Slice) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(slice.count)
    var p = slice.start
    func hex(_ at: Bytes, _ digits: Int) -> UInt32? {
      guard slice.end - at >= digits else { return nil }
      var value: UInt32 = 0
      for i in 0..<digits {
        let digit = ASCII.hexValue(at[i])
        guard digit < 16 else { return nil }
        value = value << 4 | UInt32(digit)
      }
      return value
    }
    while p < slice.end {
      guard p.pointee == ASCII.backslash, slice.end - p >= 2 else {
        out.append(p.pointee)
        p += 1
        continue
      }
      let kind = p[1]
      switch kind {
      case 0x78:  // x
        guard let byte = hex(p + 2, 2) else { fallthrough }
        out.append(UInt8(byte))
        p += 4
      case 0x75:  // u
        guard var unit = hex(p + 2, 4) else { fallthrough }
        p += 6
        if unit & 0xFC00 == 0xD800, slice.end - p >= 6, p[0] == ASCII.backslash, p[1] == 0x75,
          let low = hex(p + 2, 4), low & 0xFC00 == 0xDC00
        {
          unit = 0x10000 + ((unit & 0x3FF) << 10 | (low & 0x3FF))
          p += 6
        }
        let scalar = Unicode.Scalar(unit) ?? "\u{FFFD}"
        out.append(contentsOf: Array(String(Character(scalar)).utf8))
      default:
        switch kind {
        case 0x6E: out.append(ASCII.newline)
        case 0x72: out.append(ASCII.carriageReturn)
        case 0x74: out.append(ASCII.tab)
        case 0x62: out.append(0x08)
        case 0x66: out.append(0x0C)
        default: out.append(kind)
        }
        p += 2
      }
    }
    return out
  }
}
