internal import Glibc

/// A path pattern, expanded by us because cron lines quote it: `*`, `?`, `[a-z]` within a component, `**` for any depth.
///
/// Hidden names match only a pattern that begins with a dot, as in a shell. Matches come sorted.
struct Glob {
  private let components: [String]
  private let isAbsolute: Bool
  /// What is there and could not be looked at, with the system's code: a folder on the way that this user may not list.
  private(set) var unseen: [(path: String, code: Int32)] = []

  /// Folders below `**`: deeper trees are loops of links or no log folders.
  static let maxDepth = 64

  init(_ pattern: String) {
    isAbsolute = pattern.hasPrefix("/")
    components = pattern.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
  }

  static func hasPattern(_ path: String) -> Bool {
    path.contains { $0 == "*" || $0 == "?" || $0 == "[" }
  }

  mutating func matches() -> [String] {
    var folders: Set<FileIdentity> = []
    var result: Set<String> = []
    expand(components[...], below: isAbsolute ? "/" : "", depth: 0, folders: &folders, into: &result)
    return result.sorted()
  }

  private mutating func expand(
    _ rest: ArraySlice<String>, below folder: String, depth: Int, folders: inout Set<FileIdentity>,
    into result: inout Set<String>
  ) {
    guard let component = rest.first, depth <= Glob.maxDepth else { return }
    let isLast = rest.count == 1
    var status = stat()
    if component == "**" {
      // No folder at all ...
      if isLast {
        for entry in visible(in: folder) where look(at: folder + entry, &status) && !isFolder(status) {
          result.insert(folder + entry)
        }
      } else {
        expand(rest.dropFirst(), below: folder, depth: depth, folders: &folders, into: &result)
      }
      // ... or one more; each folder of the way once, so that loops of links end.
      for entry in visible(in: folder) where look(at: folder + entry, &status) && isFolder(status) {
        guard folders.insert(FileIdentity(status)).inserted else { continue }
        expand(rest, below: folder + entry + "/", depth: depth + 1, folders: &folders, into: &result)
        folders.remove(FileIdentity(status))
      }
    } else if Glob.hasPattern(component) {
      for entry in entries(in: folder)
      where fnmatch(component, entry, FNM_PERIOD | FNM_PATHNAME) == 0 {
        if isLast {
          result.insert(folder + entry)
        } else if look(at: folder + entry, &status), isFolder(status) {
          expand(rest.dropFirst(), below: folder + entry + "/", depth: depth + 1, folders: &folders, into: &result)
        }
      }
    } else if look(at: folder + component, &status) {
      if isLast {
        result.insert(folder + component)
      } else if isFolder(status) || component == ".." {
        expand(rest.dropFirst(), below: folder + component + "/", depth: depth + 1, folders: &folders, into: &result)
      }
    }
  }

  private mutating func entries(in folder: String) -> [String] {
    if let entries = Discovery.entries(of: folder.isEmpty ? "." : folder) { return entries }
    note(folder.isEmpty ? "." : folder, errno)
    return []
  }

  private mutating func look(at path: String, _ status: inout stat) -> Bool {
    if stat(path, &status) == 0 { return true }
    note(path, errno)
    return false
  }

  private mutating func note(_ path: String, _ code: Int32) {
    // What is not there matches nothing.
    guard code != ENOENT, code != ENOTDIR, unseen.last?.path != path else { return }
    unseen.append((path, code))
  }

  private mutating func visible(in folder: String) -> [String] { entries(in: folder).filter { !$0.hasPrefix(".") } }

  private func isFolder(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }
}
