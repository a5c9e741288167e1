/// Text for a terminal: what could move the cursor, colour the screen, hide or turn text round is shown as its code.
///
/// Everything a log, a file name or an error may have brought goes through here before a person sees it. (A log line with
/// escape sequences has run commands in terminals before: nginx CVE-2009-4487, kubectl CVE-2021-25743.)
public enum TerminalText {
  /// `text` with control characters as `\x1b` and invisible or direction-changing ones as `\u{202e}`.
  public static func safe(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return text }
    guard text.unicodeScalars.contains(where: isDangerous) else { return text }
    var safe = ""
    for scalar in text.unicodeScalars {
      guard isDangerous(scalar) else {
        safe.unicodeScalars.append(scalar)
        continue
      }
      switch scalar {
      case "\n": safe += "\\n"
      case "\r": safe += "\\r"
      case "\t": safe += "\\t"
      default:
        let digits = String(scalar.value, radix: 16)
        safe += scalar.value < 0x100 ? "\\x" + (digits.count < 2 ? "0" : "") + digits : "\\u{\(digits)}"
      }
    }
    return safe
  }

  /// C0, DEL, C1; line and paragraph separators; and what Unicode calls "format" characters: bidirectional controls,
  /// zero-width joiners and spaces, the byte order mark, tags, variation selectors.
  static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x20...0x7E: false
    case 0x00...0x1F, 0x7F...0x9F: true
    case 0xFE00...0xFE0F, 0xE0100...0xE01EF: true  // variation selectors
    // Blank although Unicode counts them as letters or marks.
    case 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0: true
    default:
      switch scalar.properties.generalCategory {
      case .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: true
      case .spaceSeparator: true  // U+0020 was let through above; the other spaces look like it and are not
      default: false
      }
    }
  }

  /// Columns a terminal takes for the text: two for East Asian wide characters and emoji, none for combining marks.
  static func width(_ text: String) -> Int {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.unicodeScalars.reduce(0) { $0 + width($1) }
  }

  static func width(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    return switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
      0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      2
    default: 1
    }
  }

  /// The text cut to `columns`, its end marked by an ellipsis.
  static func clipped(_ text: String, to columns: Int) -> String {
    guard width(text) > columns else { return text }
    return String(fitting(text.unicodeScalars, columns - 1)) + "…"
  }

  /// The same for paths, which differ at their end: it is the beginning that is cut off.
  static func clippedPath(_ path: String, to columns: Int) -> String {
    guard width(path) > columns else { return path }
    return "…" + String(String.UnicodeScalarView(fitting(path.unicodeScalars.reversed(), columns - 1).reversed()))
  }

  /// As many of the first scalars as there is room for.
  private static func fitting(_ scalars: some Sequence<Unicode.Scalar>, _ columns: Int) -> String.UnicodeScalarView {
    var fitting = String.UnicodeScalarView()
    var used = 0
    for scalar in scalars {
      used += width(scalar)
      guard used <= columns else { break }
      fitting.append(scalar)
    }
    return fitting
  }
}
