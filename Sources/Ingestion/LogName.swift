/// What the path of a log tells: which live file it was rotated from, how old it is among its siblings, and which pod
/// wrote it.
///
///     access.log.2.gz                      family access.log, two rotations old
///     access.log-20261123, access-20261123.log
///     0.log.20261123-101500.gz             the kubelet's rotation
///     NS_POD_UID/CONTAINER/0.log           /var/log/pods, here or copied elsewhere
///     POD_NS_CONTAINER-ID.log              /var/log/containers
struct LogName: Sendable, Equatable {
  /// Path as given.
  var path: String
  /// Path of the live file that this one is, or was rotated from.
  var family: String
  var age: Age
  var namespace: String?
  var pod: String?
  var container: String?

  /// Place among the files of one family; a lower age was written earlier.
  enum Age: Comparable, Sendable {
    /// Digits of the date, filled up with zeros to seconds.
    case dated(UInt64)
    /// `.N`, negative: the highest number is the oldest.
    case numbered(Int)
    case live
  }

  /// Of a container's log in the kubelet's folders: how often it had been restarted.
  var restarts: Int? {
    guard container != nil, let file = family.split(separator: "/").last, file.hasSuffix(".log") else { return nil }
    return Int(file.dropLast(".log".count))
  }

  init(_ path: String) {
    self.path = path
    let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
    let name = parts.last ?? path
    let folder = path.dropLast(path.hasSuffix(name) ? name.count : 0)
    let (live, age) = LogName.unrotated(name)
    family = folder + live
    self.age = age
    if let (pod, namespace, container) = LogName.containersLink(live) {
      (self.pod, self.namespace, self.container) = (pod, namespace, container)
    } else if parts.count >= 3, live.hasSuffix(".log"), LogName.isNumber(live.dropLast(4)) {
      let names = parts[parts.count - 3].split(separator: "_", omittingEmptySubsequences: false)
      guard names.count == 3, names.allSatisfy({ !$0.isEmpty }) else { return }
      namespace = String(names[0])
      pod = String(names[1])
      container = parts[parts.count - 2]
    }
  }

  /// `POD_NS_CONTAINER-ID.log`: neither pod nor namespace can contain `_`; the id is the last, hexadecimal part.
  private static func containersLink(_ name: String) -> (pod: String, namespace: String, container: String)? {
    guard name.hasSuffix(".log") else { return nil }
    let names = name.dropLast(4).split(separator: "_", omittingEmptySubsequences: false)
    guard names.count == 3, !names[0].isEmpty, !names[1].isEmpty, let dash = names[2].lastIndex(of: "-"),
      dash != names[2].startIndex
    else { return nil }
    let id = names[2][names[2].index(after: dash)...]
    // Runtimes write 64 digits; tools that copy logs shorten the id to 12.
    guard id.count >= 12, id.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
    return (String(names[0]), String(names[1]), String(names[2][..<dash]))
  }

  /// The live file's name and the age, from the last path component.
  private static func unrotated(_ name: String) -> (live: String, age: Age) {
    var stem = Substring(name)
    if stem.hasSuffix(".gz") { stem = stem.dropLast(3) }
    // logrotate's `extension .log` puts the date before the extension.
    if stem.hasSuffix(".log"), let dash = stem.lastIndex(of: "-"), dash != stem.startIndex,
      let date = date(stem[stem.index(after: dash)...].dropLast(4))
    {
      return (stem[..<dash] + ".log", .dated(date))
    }
    if let dot = stem.lastIndex(of: "."), dot != stem.startIndex {
      let suffix = stem[stem.index(after: dot)...]
      // Five digits are more rotations than anybody keeps, and no date yet.
      if isNumber(suffix), suffix.count <= 5, let number = Int(suffix) {
        return (String(stem[..<dot]), .numbered(-number))
      }
      if let date = date(suffix) { return (String(stem[..<dot]), .dated(date)) }
    }
    for (place, character) in zip(stem.indices, stem) where character == "-" && place != stem.startIndex {
      if let date = date(stem[stem.index(after: place)...]) { return (String(stem[..<place]), .dated(date)) }
    }
    return (String(stem), .live)
  }

  /// `20261123`, `2026112310`, `20261123-101500`, `2026-11-23`, or seconds since 1970.
  private static func date(_ text: Substring) -> UInt64? {
    var digits = ""
    for character in text {
      if character.isASCII, character.isNumber { digits.append(character) } else if character != "-" { return nil }
    }
    guard (8...14).contains(digits.count), text.first != "-", text.last != "-" else { return nil }
    return UInt64(digits + String(repeating: "0", count: 14 - digits.count))
  }

  private static func isNumber(_ text: Substring) -> Bool {
    !text.isEmpty && text.allSatisfy { $0.isASCII && $0.isNumber }
  }
}
