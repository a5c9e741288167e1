/// What a format string of a proxy means: a sequence of literals and columns that the engine matches against a line.
///
/// All three format languages compile to this; so does every built-in format. A plan is cold: the engine turns it into
/// its own tables once per run.
public struct FormatPlan: Sendable, Hashable {
  /// The name people see: `istio-1.9`, `squid`, or `custom`.
  public var name: String
  /// One line for `formats list`.
  public var about: String
  public var dialect: Dialect
  /// The format string as its author wrote it, in the proxy's own language.
  public var source: String
  public var body: Body
  /// Directives that are legal but unknown here (variables of nginx that a `map` or a module defines): read over, not kept.
  public var notUnderstood: [String] = []
  /// Of a log beside the access log: it has a line for each request, and says nothing of what became of it.
  var isSideLog = false
  /// Known without being told.
  var isBuiltIn = false

  public enum Body: Sendable, Hashable {
    /// One line is these pieces one after the other; two `field` pieces never touch unless `FormatField.endsItself`.
    case text([FormatPiece])
    /// One line is a JSON object; keys may come in any order, unknown keys are skipped, known keys may be missing.
    case json([JSONKey])
  }

  public init(name: String, about: String, dialect: Dialect, source: String, body: Body) {
    self.name = name
    self.about = about
    self.dialect = dialect
    self.source = source
    self.body = body
  }
}

extension FormatPlan {
  /// Lines of one can be lines of the other: the literals are the same and as many columns stand between them, of which some mean
  /// another thing. What a column can hold tells little: a missing value is `-` in each.
  func isMistakable(for other: FormatPlan) -> Bool {
    guard case .text(let pieces) = body, case .text(let others) = other.body, pieces.count == others.count else {
      return false
    }
    var differs = false
    for (piece, other) in zip(pieces, others) {
      switch (piece, other) {
      case (.literal(let bytes), .literal(let otherBytes)) where bytes == otherBytes: continue
      case (.field(let field), .field(let otherField)):
        if field.role != otherField.role { differs = true }
      default: return false
      }
    }
    return differs
  }
}

/// The proxies whose logs are understood; each has a format language of its own.
public enum Dialect: String, Sendable, CaseIterable {
  case envoy
  case nginxStream = "nginx-stream"
  case nginxHTTP = "nginx-http"
  case squid
}

public enum FormatPiece: Sendable, Hashable {
  case literal([UInt8])
  case field(FormatField)
}

/// One column.
public struct FormatField: Sendable, Hashable {
  public var role: FieldRole
  /// The directive as written, for messages and `formats test`: `%REQ(:AUTHORITY)%`, `$status`, `%>a`.
  public var name: String
  public var syntax: Syntax
  public var escaping: Escaping
  /// Scale of a number to what the row keeps (milliseconds for times, bytes for sizes).
  public var unit: Unit
  /// Only for `Syntax.time`.
  public var time: TimeFormat?
  /// Leading spaces belong to the padding (Squid's `%6tr`).
  public var padded: Bool
  /// Trailing spaces belong to the padding (Squid's `%-6tr`).
  public var paddedAtEnd = false
  /// The proxy cuts the value at this many bytes (`:N`, `.max`): a value of exactly this length may be a stump.
  public var maxLength: Int?
  /// The column may be an empty string (nginx `escape=json|none`, Envoy `omit_empty_values`, header values).
  public var mayBeEmpty: Bool

  /// Which bytes a value can hold; `-` for a missing value is allowed by every case.
  public enum Syntax: Sendable, Hashable {
    /// Anything but a newline; the column's end is found by what follows it.
    case text
    /// No white space.
    case token
    case integer
    /// Digits with an optional fraction and sign: `0.622`.
    case decimal
    /// Three digits.
    case status
    /// A request method: a token of letters, digits and `-_`, or `-`, or Squid's `NONE`.
    case method
    /// `HTTP/1.1`, `HTTP/2`, ..., `-`.
    case `protocol`
    /// Comma-joined response flags (`UF,URX`).
    case flags
    /// `ip:port`, `[v6]:port`, bare v6 with port (nginx), a path, `envoy://...`, a name with a port.
    case address
    /// `ip` or `[v6]` without port, perhaps `/mask`.
    case ip
    case time
    /// A list of values joined with `, ` or ` : ` (nginx upstream variables): the last one counts.
    case list
  }

  /// How the proxy escapes the value.
  public enum Escaping: String, Sendable, Hashable {
    /// As it came: may hold the delimiter.
    case raw
    /// `\xHH` for control bytes, `"`, `\` and bytes from 0x7F (nginx `escape=default`).
    case nginx
    /// JSON string escapes.
    case json
    /// Squid `"`: `\"`, `\\`, `\r`, `\n`, `\t`.
    case backslash
    /// `%HH` (Squid `[` and `#`).
    case percent
    /// Squid `/`: quoted when a space is inside.
    case shell
  }

  public enum Unit: Sendable, Hashable {
    case one
    case seconds
    case milliseconds
    case microseconds
    case nanoseconds
  }

  /// The value's own syntax tells where it ends (a time of fixed width, a number before a letter, `HTTP/1.1`), so that
  /// another field may follow without a literal between.
  public var endsItself: Bool {
    switch syntax {
    case .status, .protocol: true
    case .time: time?.fixedWidth != nil
    default: false
    }
  }

  public init(
    role: FieldRole, name: String, syntax: Syntax = .token, escaping: Escaping = .raw, unit: Unit = .one,
    time: TimeFormat? = nil, padded: Bool = false, maxLength: Int? = nil, mayBeEmpty: Bool = false
  ) {
    self.role = role
    self.name = name
    self.syntax = syntax
    self.escaping = escaping
    self.unit = unit
    self.time = time
    self.padded = padded
    self.maxLength = maxLength
    self.mayBeEmpty = mayBeEmpty
  }
}

/// How a time is written, as a sequence of parts.
public struct TimeFormat: Sendable, Hashable {
  public enum Part: Sendable, Hashable {
    case year4
    case year2
    case month2
    /// `Sep`
    case monthName
    case day2
    /// Day padded with a space (`%e`).
    case dayPadded
    case hour2
    case hour12
    case amPm
    case minute2
    case second2
    /// Exactly this many digits of a second's fraction.
    case fraction(Int)
    /// Seconds since 1970, any number of digits.
    case epochSeconds
    /// Milliseconds since 1970.
    case epochMilliseconds
    /// `Z`, `+0000` or `+00:00`.
    case zone
    /// `UTC`, `CEST`, `+03`: of names only `UTC`, `GMT` and `Z` say how far a clock is from UTC.
    case zoneName
    /// Day of year, three digits.
    case yearDay3
    case weekdayName
    case literal([UInt8])
  }
  public var parts: [Part]
  /// Nothing in the format says the zone; UTC is assumed (and said).
  public var lacksZone: Bool
  /// Nothing in the format says the day: it has to come from the wrapper.
  public var lacksDate: Bool
  /// Nothing in the format says the hour, or only a clock of twelve hours without AM and PM: it is taken for the first that it may be.
  public var lacksHour: Bool
  /// A name is all that says the zone: which one it is, each line says.
  var namesZone: Bool { !lacksZone && !hasEpoch && parts.contains(.zoneName) && !parts.contains(.zone) }
  private var hasEpoch: Bool { parts.contains { $0 == .epochSeconds || $0 == .epochMilliseconds } }

  /// `2016-04-15T20:17:00.310Z`, Envoy's default.
  public static let iso8601Milliseconds = TimeFormat(parts: [
    .year4, .literal([0x2D]), .month2, .literal([0x2D]), .day2, .literal([0x54]), .hour2, .literal([0x3A]), .minute2,
    .literal([0x3A]), .second2, .literal([0x2E]), .fraction(3), .zone,
  ])

  public init(parts: [Part]) {
    self.parts = parts
    let hasEpoch = parts.contains { $0 == .epochSeconds || $0 == .epochMilliseconds }
    lacksZone = !hasEpoch && !parts.contains { $0 == .zone || $0 == .zoneName }
    let hasMonth = parts.contains { $0 == .month2 || $0 == .monthName }
    lacksDate =
      !hasEpoch && !parts.contains { $0 == .yearDay3 || hasMonth && ($0 == .day2 || $0 == .dayPadded) }
    lacksHour = !hasEpoch && !parts.contains(.hour2) && !(parts.contains(.hour12) && parts.contains(.amPm))
  }

  /// Bytes of the value when every value has the same length.
  public var fixedWidth: Int? {
    var width = 0
    for part in parts {
      switch part {
      case .year4: width += 4
      case .yearDay3, .monthName, .weekdayName: width += 3
      case .year2, .month2, .day2, .dayPadded, .hour2, .hour12, .amPm, .minute2, .second2: width += 2
      case .fraction(let digits): width += digits
      case .literal(let bytes): width += bytes.count
      case .epochSeconds, .epochMilliseconds, .zone, .zoneName: return nil
      }
    }
    return width
  }
}

/// One key of a JSON format.
public struct JSONKey: Sendable, Hashable {
  /// The key, and the keys of the objects around it from the outside in.
  public var path: [String]
  /// What the value holds: one field, or a text of its own with literals (`"%REQ(:METHOD)% %PROTOCOL%"`).
  public var pieces: [FormatPiece]

  public init(path: [String], pieces: [FormatPiece]) {
    self.path = path
    self.pieces = pieces
  }
}
