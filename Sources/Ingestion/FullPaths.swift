internal import Glibc

/// What paths mean from the root on: `l/a.log` is another file for who stands elsewhere, as cron does.
///
/// Links are not followed: which folder or log one leads to may change, and what was read under the path before is its former log all
/// the same.
final class FullPaths {
  private var folders: [String: String] = [:]

  /// nil for standard input.
  func fullPath(of path: String) -> String? {
    guard path != Discovery.standardInput else { return nil }
    let path = path.withoutEndingSlashes
    let folder = String(path.folder)
    let name = path.dropFirst(folder.count)
    if ["", ".", ".."].contains(name) { return FullPaths.absolute(path) }
    let place = folders[folder] ?? FullPaths.absolute(folder).withSlash
    folders[folder] = place
    return place + name
  }

  /// From the root on, without `.` and `..`; by the text alone, but for the folder that the process stands in.
  static func absolute(_ path: String) -> String {
    let whole = path.hasPrefix("/") ? path : Discovery.resolved(".") + "/" + path
    var parts: [Substring] = []
    for part in whole.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}

/// Where a run was asked to look, and what of it could be opened.
struct VisitedPlaces {
  /// What was opened, with its place and its size.
  var files: [FileIdentity: (place: String?, size: Int64)] = [:]
  /// The places of all that was opened, and of folders that were listed.
  var opened: Set<String> = []
  /// The folders that the arguments name, or begin with.
  private let roots: [String]

  init(_ arguments: [String], _ paths: FullPaths) {
    roots = arguments.compactMap { argument in
      guard let path = paths.fullPath(of: argument) else { return nil }
      var status = stat()
      let isThere = stat(argument, &status) == 0
      if isThere, status.st_mode & S_IFMT == S_IFDIR { return FullPaths.absolute(argument).withSlash }
      let folders = path.split(separator: "/").dropLast().prefix { isThere || !Glob.hasPattern(String($0)) }
      return ("/" + folders.joined(separator: "/")).withSlash
    }
  }

  func cover(_ place: String) -> Bool { roots.contains { place.hasPrefix($0) } }

  /// The run looked there, and there is nothing of that name any more. Where a folder is empty, or cannot be listed, what was in it may
  /// be mounted there another time.
  func lack(_ place: String) -> Bool {
    roots.contains { place.hasPrefix($0) && VisitedPlaces.isGone(place, below: $0) }
  }

  private static func isGone(_ place: String, below root: String) -> Bool {
    var place = place.withoutEndingSlashes
    while place.hasPrefix(root), let slash = place.lastIndex(of: "/") {
      let folder = String(place[...slash])
      if let entries = Discovery.entries(of: folder) {
        return !entries.isEmpty && !entries.contains(String(place[place.index(after: slash)...]))
      }
      guard errno == ENOENT || errno == ENOTDIR else { return false }
      place = folder.withoutEndingSlashes
    }
    return false
  }
}

extension String {
  /// Up to its last slash.
  var folder: Substring { lastIndex(of: "/").map { self[...$0] } ?? "" }

  fileprivate var withSlash: String { hasSuffix("/") ? self : self + "/" }

  fileprivate var withoutEndingSlashes: String {
    var path = self
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}
