import AccessLogs
import Testing

struct FormatsFileTests {
  @Test("every log_format of an nginx.conf is found, with its name, escape, module and line")
  func nginxConf() throws {
    let text = #"""
      # log_format commented '$status';
      worker_processes 1;
      http {
        log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                        '$status $body_bytes_sent "$http_referer" '   # comment; with a semicolon
                        "\"$http_user_agent\" '$http_x_forwarded_for'";
        server { location / { content_by_lua_block { ngx.say("it's } {", [[ } ]]) -- don't }
          }  } }
        log_format	j escape=json '{"t":"$msec"}';
        access_log /var/log/nginx/access.log main;
      }
      stream {
        log_format basic escape=none $remote_addr:${remote_port}\ $status;
        server { listen 443; proxy_pass $ssl_preread_server_name:443; access_log syslog:server=[::1]:514 basic; }
      }
      """#
    let found = try FormatFile.nginxConf(text)
    #expect(found.map(\.name) == ["main", "j", "basic"])
    #expect(found.map(\.escape) == [.default, .json, .none])
    #expect(found.map(\.isHTTP) == [true, true, false])
    #expect(found.map(\.line) == [4, 9, 13])
    #expect(
      found.map(\.format) == [
        #"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "#
          + #""$http_user_agent" '$http_x_forwarded_for'"#,
        #"{"t":"$msec"}"#,
        #"$remote_addr:${remote_port}\ $status"#,
      ])
  }

  @Test("an included file has no module, and a file without formats gives none")
  func nginxFragments() throws {
    #expect(try FormatFile.nginxConf("log_format a '$status';").map(\.isHTTP) == [nil])
    #expect(try FormatFile.nginxConf("events {}\nhttp { }\n").isEmpty)
    #expect(try FormatFile.nginxConf("").isEmpty)
  }

  @Test("every logformat of a squid.conf is found, continued lines joined as Squid joins them")
  func squidConf() throws {
    let text = """
      http_port 3128
      # logformat commented %>a
      logformat one %ts.%03tu %6tr   %>a\u{20}
      \tlogformat two "%>a" [%tl] \\
      # in between

          %Ss/%03>Hs \\
          %ru
      logformat three '%>a it''s'
      logformat four "%>a \\"%{User-Agent}>h\\""\r
      access_log daemon:/var/log/squid/access.log one
      logformat_of_somebody_else x y
      """
    let found = try FormatFile.squidConf(text)
    #expect(found.map(\.name) == ["one", "two", "three", "four"])
    #expect(found.map(\.line) == [3, 4, 9, 10])
    #expect(
      found.map(\.format) == [
        "%ts.%03tu %6tr   %>a", "\"%>a\" [%tl] %Ss/%03>Hs %ru", "'%>a it''s'", "%>a \"%{User-Agent}>h\"",
      ])
  }

  @Test("an error in a file names file, line and column")
  func errors() throws {
    let error = try #require(throws: FormatError.self) {
      try FormatFile.nginxConf("http {\n  log_format main escape=xml '$status';\n}\n")
    }
    #expect(
      error.rendered(file: "nginx.conf") == """
        error: unknown escape "xml"
          --> nginx.conf:2:19
           |   log_format main escape=xml '$status';
           |                   ^^^^^^^^^^
        help: use escape=default, escape=json or escape=none

        """)
  }
}
