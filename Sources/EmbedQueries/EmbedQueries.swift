import PackagePlugin

/// Turns every `.sql` file below a target's folder into one Swift file, so that the binary carries its queries.
///
/// The target reaches `Queries/` through symbolic links in its own folder: SwiftPM notices added, edited and
/// deleted files only in folders that the target owns.
@main
struct EmbedQueries: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) async throws -> [Command] {
    guard let target = target as? SourceModuleTarget else { return [] }
    let queries = target.sourceFiles(withSuffix: "sql").map(\.url)
    let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedQueries.swift")
    return [
      .buildCommand(
        displayName: "Embedding \(queries.count) queries into \(target.name)",
        executable: try context.tool(named: "embed-queries").url,
        arguments: [output.path()] + queries.map { $0.path() },
        inputFiles: queries,
        outputFiles: [output])
    ]
  }
}
