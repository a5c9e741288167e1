internal import Glibc

/// Turns what a person or cron wrote (files, quoted globs, folders, `-`) into the list of logs to read, each once, in
/// an order that follows rotation: within a family the oldest file first.
struct Discovery {
  struct Found: Sendable, Equatable {
    var name: LogName
    /// nil for standard input.
    var identity: FileIdentity?
    var isStandardInput: Bool { name.path == Discovery.standardInput }
  }

  static let standardInput = "-"

  private(set) var found: [Found] = []
  private(set) var problems: [IngestProblem] = []
  /// Files and folders that are there and cannot be looked at.
  private(set) var unopened: [String] = []
  /// Folders that were looked at.
  private(set) var listed: Set<String> = []
  private var seenFiles: Set<FileIdentity> = []
  private var seenFolders: Set<FileIdentity> = []
  /// Logs, folders that were met before, and what was complained of: an argument that adds to none holds no log.
  private var met = 0
  /// The database and its companions: a folder that holds logs may hold them too.
  private let excluded: Set<String>

  init(paths: [String], database: String? = nil) {
    excluded = Set(
      database.map { path in ["", "-wal", "-shm", "-journal", ".lock"].map { Discovery.resolved(path + $0) } } ?? [])
    for path in paths { add(argument: path) }
    found = Discovery.inReadingOrder(found)
  }

  private mutating func add(argument path: String) {
    if path == Discovery.standardInput {
      if !found.contains(where: \.isStandardInput) { found.append(Found(name: LogName(path), identity: nil)) }
      return
    }
    var status = stat()
    let before = met
    if stat(path, &status) == 0 {
      add(path: path, status: status, isNamed: true)
      // A mount that is missing, a folder that was mistyped: nothing was read, and nobody should take that for an all-clear.
      if met == before { complain(path, "holds no log") }
    } else if errno == ENOENT, Glob.hasPattern(path) {
      var glob = Glob(path)
      let matches = glob.matches()
      var known: Set<String> = []
      for (path, code) in glob.unseen where known.insert(path).inserted {
        unopened.append(path)
        complain(path, "cannot open: \(systemMessage(code))")
      }
      for match in matches {
        if stat(match, &status) == 0 {
          add(path: match, status: status, isNamed: false)
        } else {
          noteUnreadable(match, errno)
        }
      }
      if met == before {
        complain(path, matches.isEmpty ? "nothing matches this pattern" : "nothing that matches this pattern is a log")
      }
    } else {
      let code = errno
      // What is not there may be a word mistyped.
      if code != ENOENT, code != ENOTDIR { unopened.append(path) }
      complain(path, "cannot open: \(systemMessage(code))")
    }
  }

  private mutating func complain(_ path: String, _ message: String) {
    problems.append(.error(path: path, message))
    met += 1
  }

  /// What stands in a folder, and cannot be looked at.
  private mutating func noteUnreadable(_ path: String, _ code: Int32) {
    guard code == ENOENT else {
      unopened.append(path)
      return complain(path, "cannot open: \(systemMessage(code))")
    }
    if path.unicodeScalars.contains("\u{FFFD}") {
      unopened.append(path)
      return complain(path, "its name is not UTF-8: give it another, or a link that has one")
    }
    // A link to nowhere is common in /var/log/containers after a pod has gone.
    problems.append(.warning(path: path, "cannot open: \(systemMessage(code))"))
  }

  /// - Parameter isNamed: the person asked for exactly this file, so that a FIFO is meant.
  private mutating func add(path: String, status: stat, isNamed: Bool) {
    let identity = FileIdentity(status)
    switch status.st_mode & S_IFMT {
    case S_IFDIR:
      // The same folder again: a second argument, or a loop of links.
      if seenFolders.insert(identity).inserted { addFolder(path) } else { met += 1 }
    case S_IFREG:
      if excluded.contains(Discovery.resolved(path)) {
        if isNamed { complain(path, "is the database itself, not a log") }
      } else {
        met += 1
        if seenFiles.insert(identity).inserted { found.append(Found(name: LogName(path), identity: identity)) }
      }
    case S_IFIFO, S_IFCHR:
      guard isNamed else { return }
      met += 1
      found.append(Found(name: LogName(path), identity: identity))
    default:
      if isNamed { complain(path, "is neither a file nor a folder") }
    }
  }

  private mutating func addFolder(_ path: String) {
    let prefix = path.hasSuffix("/") ? path : path + "/"
    guard let entries = Discovery.entries(of: path) else {
      let code = errno
      unopened.append(path)
      return complain(path, "cannot list: \(systemMessage(code))")
    }
    listed.insert(path)
    for entry in entries {
      var status = stat()
      if stat(prefix + entry, &status) == 0 {
        add(path: prefix + entry, status: status, isNamed: false)
      } else {
        noteUnreadable(prefix + entry, errno)
      }
    }
  }

  /// Names in a folder, sorted; nil with `errno` set when it cannot be listed.
  static func entries(of folder: String) -> [String]? {
    guard let stream = opendir(folder) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Files of one family in the order they were written; families where their first member was named.
  static func inReadingOrder(_ found: [Found]) -> [Found] {
    var places: [String: Int] = [:]
    for file in found where places[file.name.family] == nil { places[file.name.family] = places.count }
    return found.enumerated()
      .sorted { one, other in
        let (first, second) = (places[one.element.name.family]!, places[other.element.name.family]!)
        if first != second { return first < second }
        if one.element.name.age != other.element.name.age { return one.element.name.age < other.element.name.age }
        return one.offset < other.offset
      }
      .map(\.element)
  }

  /// The rotated files beside `live`, oldest first.
  static func rotatedSiblings(of live: String) -> [Found] {
    // Where the kubelet links to a pod's log, it is rotated beside that.
    var status = stat()
    guard lstat(live, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return siblings(of: live) }
    return siblings(of: resolved(live)) + siblings(of: live)
  }

  private static func siblings(of live: String) -> [Found] {
    let folder = live.lastIndex(of: "/").map { String(live[...$0]) } ?? ""
    var siblings: [Found] = []
    for entry in entries(of: folder.isEmpty ? "." : folder) ?? [] {
      let name = LogName(folder + entry)
      var status = stat()
      guard name.family == live, name.age != .live, stat(name.path, &status) == 0,
        status.st_mode & S_IFMT == S_IFREG
      else { continue }
      siblings.append(Found(name: name, identity: FileIdentity(status)))
    }
    return inReadingOrder(siblings)
  }

  static func size(of path: String) -> Int64 {
    var status = stat()
    guard path != standardInput, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return 0 }
    return Int64(status.st_size)
  }

  /// Whether a file was made or renamed, and has lines that were written, since a log beside it was read, in Unix milliseconds: gzip
  /// leaves a file the time of its last line.
  static func wasWritten(_ path: String, since readAtMs: Int64) -> Bool {
    var status = stat()
    guard changedMs(of: path) >= readAtMs - clockStepMs, stat(path, &status) == 0 else { return false }
    return status.modifiedNs / 1_000_000 >= readAtMs - clockStepMs
  }

  /// File systems take the time from a clock that moves in steps, or that of another machine.
  static let clockStepMs: Int64 = 2000

  /// When the file was made or renamed last, as far as its inode tells, in Unix milliseconds (gzip gives a file the time of the one it
  /// compressed); the beginning of time where there is nothing.
  static func changedMs(of path: String) -> Int64 {
    var status = stat()
    guard stat(path, &status) == 0 else { return .min }
    return Int64(status.st_ctim.tv_sec) &* 1000 &+ Int64(status.st_ctim.tv_nsec) / 1_000_000
  }

  /// With all links followed; as it is where that cannot be done.
  static func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }
}

/// Device and inode: the same file whatever its name, as long as it lives.
struct FileIdentity: Hashable, Sendable {
  var device: UInt64
  var inode: UInt64

  init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }

  /// nil when there is nothing under `path`.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  init(_ status: stat) {
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(truncatingIfNeeded: status.st_ino)
  }
}

extension stat {
  /// When it was written to last, in Unix nanoseconds.
  var modifiedNs: Int64 { Int64(st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(st_mtim.tv_nsec) }
}

func systemMessage(_ code: Int32) -> String {
  // strerror's buffer may be shared between threads; the C locale's texts for valid codes are constants in glibc.
  String(cString: strerror(code)).lowercased()
}

extension IngestPipeline {
  /// Whether another run could surely read all of `paths` once more, also after the machine was started anew: a pipe gives its
  /// lines once, and what lies in memory is gone. Of a file system without a device of its own (tmpfs, but overlays and network
  /// file systems, too) nothing is sure.
  public static func canReadAgain(_ paths: [String]) -> Bool {
    paths.allSatisfy { path in
      guard path != Discovery.standardInput else { return false }
      var status = stat()
      if stat(path, &status) != 0 {
        // Of a pattern, the folders in front of what it leaves open.
        let folders = path.split(separator: "/", omittingEmptySubsequences: false).prefix {
          !Glob.hasPattern(String($0))
        }
        guard stat(folders.isEmpty ? "." : folders.joined(separator: "/") + "/", &status) == 0 else { return true }
      }
      // The number of the device's kind (gnu_dev_major): 0 where there is none.
      let kind = status.st_dev >> 8 & 0xFFF | status.st_dev >> 32 & ~0xFFF
      return [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) && status.st_nlink > 0 && kind != 0
    }
  }
}
