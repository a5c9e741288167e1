internal import Foundation

/// Every question the program knows: the files of `Queries/` it was built with, and the user's own.
///
/// A user's file replaces the built-in one of its name. `DIR/*.sql` and `DIR/Reports/*.sql` are reports, `DIR/Alerts/*.sql`
/// are questions of `gatewatch alert`.
public struct QueryCatalogue: Sendable {
  private var reportEntries: [Entry] = []
  private var alertEntries: [Entry] = []

  /// By name.
  public var reports: [Query] { reportEntries.map(\.query) }
  /// By name.
  public var alerts: [Query] { alertEntries.map(\.query) }

  /// The header of a built-in file is read when somebody asks for it: of twenty questions a run puts one.
  private struct Entry: Sendable {
    let name: String
    private let file: String
    private let sql: String
    /// A user's, whose mistakes are told before anything is asked.
    private let given: Query?

    init(_ query: Query) {
      (name, file, sql, given) = (query.name, query.file, query.sql, query)
    }

    init(builtIn sql: String, file: String) {
      (name, self.file, self.sql, given) = (QueryHeader.name(of: file), file, sql, nil)
    }

    var query: Query {
      if let given { return given }
      guard var query = try? QueryHeader.parse(sql, file: file) else { preconditionFailure("\(file) has a bad header") }
      query.isBuiltIn = true
      return query
    }
  }

  /// Bytes of a user's query file that are read: far more than a person writes.
  static let maxFileSize = 1 << 20

  /// The questions the program was built with.
  public init() {
    for (name, sql) in EmbeddedQueries.all {
      // Embedded under the names of the links by which this module reaches `Queries/`.
      if name.hasPrefix("AlertQueries/") {
        alertEntries.append(Entry(builtIn: sql, file: "Queries/Alerts/" + name.dropFirst("AlertQueries/".count)))
      } else {
        precondition(name.hasPrefix("ReportQueries/"), "a folder of queries that nobody asks: \(name)")
        reportEntries.append(Entry(builtIn: sql, file: "Queries/Reports/" + name.dropFirst("ReportQueries/".count)))
      }
    }
    sort()
  }

  /// The built-in questions and those of a folder.
  public init(adding folder: String) throws(ReportError) {
    self.init()
    guard isFolder(folder) else {
      throw ReportError(file: folder, "no such folder", help: "--queries takes a folder of .sql files")
    }
    for path in try sqlFiles(in: folder) + sqlFiles(in: folder + "/Reports") {
      add(try QueryCatalogue.read(path), to: \.reportEntries)
    }
    for path in try sqlFiles(in: folder + "/Alerts") { add(try QueryCatalogue.read(path), to: \.alertEntries) }
    sort()
  }

  /// The report of that name; the error names the nearest one.
  public func report(named name: String) throws(ReportError) -> Query {
    if let entry = reportEntries.first(where: { $0.name == name }) { return entry.query }
    let names = reportEntries.map(\.name)
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

  private mutating func add(_ query: Query, to list: WritableKeyPath<QueryCatalogue, [Entry]>) {
    self[keyPath: list].removeAll { $0.name == query.name }
    self[keyPath: list].append(Entry(query))
  }

  private mutating func sort() {
    reportEntries.sort { $0.name < $1.name }
    alertEntries.sort { $0.name < $1.name }
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
