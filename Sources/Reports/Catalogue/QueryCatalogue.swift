internal import Foundation

/// Every question the program knows: the files of `Queries/` it was built with, and the user's own.
///
/// A user's file replaces the built-in one of its name. `DIR/*.sql` and `DIR/Reports/*.sql` are reports, `DIR/Alerts/*.sql`
/// are questions of `gatewatch alert`.
public struct QueryCatalogue: Sendable {
  /// By name.
  public private(set) var reports: [Query]
  /// By name.
  public private(set) var alerts: [Query]

  /// Bytes of a user's query file that are read: far more than a person writes.
  static let maxFileSize = 1 << 20

  /// The questions the program was built with.
  public init() throws(ReportError) {
    reports = []
    alerts = []
    for (name, sql) in EmbeddedQueries.all {
      // Embedded under the names of the links by which this module reaches `Queries/`.
      if name.hasPrefix("AlertQueries/") {
        var query = try QueryHeader.parse(sql, file: "Queries/Alerts/" + name.dropFirst("AlertQueries/".count))
        query.isBuiltIn = true
        alerts.append(query)
      } else {
        precondition(name.hasPrefix("ReportQueries/"), "a folder of queries that nobody asks: \(name)")
        var query = try QueryHeader.parse(sql, file: "Queries/Reports/" + name.dropFirst("ReportQueries/".count))
        query.isBuiltIn = true
        reports.append(query)
      }
    }
    sort()
  }

  /// The built-in questions and those of a folder.
  public init(adding folder: String) throws(ReportError) {
    try self.init()
    guard isFolder(folder) else {
      throw ReportError(file: folder, "no such folder", help: "--queries takes a folder of .sql files")
    }
    for path in try sqlFiles(in: folder) + sqlFiles(in: folder + "/Reports") {
      add(try QueryCatalogue.read(path), to: \.reports)
    }
    for path in try sqlFiles(in: folder + "/Alerts") { add(try QueryCatalogue.read(path), to: \.alerts) }
    sort()
  }

  /// The report of that name; the error names the nearest one.
  public func report(named name: String) throws(ReportError) -> Query {
    if let query = reports.first(where: { $0.name == name }) { return query }
    let names = reports.map(\.name)
    throw ReportError(
      "no report is called \"\(TerminalText.safe(name))\"",
      help: nearMiss(name, in: names).map { "did you mean \"\($0)\"?" }
        ?? "there are \(names.joined(separator: ", "))")
  }

  static func read(_ path: String) throws(ReportError) -> Query {
    guard let content = FileManager.default.contents(atPath: path) else {
      throw ReportError(file: path, "cannot be read")
    }
    guard content.count <= maxFileSize else {
      throw ReportError(file: path, "has more than \(maxFileSize) bytes, which is no query")
    }
    guard let sql = String(data: content, encoding: .utf8) else { throw ReportError(file: path, "is not UTF-8") }
    return try QueryHeader.parse(sql, file: path)
  }

  private mutating func add(_ query: Query, to list: WritableKeyPath<QueryCatalogue, [Query]>) {
    self[keyPath: list].removeAll { $0.name == query.name }
    self[keyPath: list].append(query)
  }

  private mutating func sort() {
    reports.sort { $0.name < $1.name }
    alerts.sort { $0.name < $1.name }
  }
}

private func isFolder(_ path: String) -> Bool {
  var isFolder: ObjCBool = false
  return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
}

/// The `.sql` files of a folder, by name; none where there is no such folder.
private func sqlFiles(in folder: String) throws(ReportError) -> [String] {
  guard isFolder(folder) else { return [] }
  do {
    return try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".sql") && !$0.hasPrefix(".") }.sorted().map { folder + "/" + $0 }
  } catch {
    throw ReportError(file: folder, "cannot be listed")
  }
}
