// What a Java program does with HTTP, a "name value" line each. Arguments: httpclient|urlconnection BASE_URL REFUSED_URL
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.HexFormat;

public class Client {
  static final byte[] BODY = "postern ".repeat(300_000).getBytes();

  public static void main(String[] args) throws Exception {
    tell("body_sha256", sha256(BODY));
    if (args[0].equals("httpclient")) httpClient(args[1], args[2]);
    else urlConnection(args[1], args[2]);
  }

  static void tell(String name, Object value) {
    System.out.println(name + " " + value);
  }

  static String sha256(byte[] data) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
  }

  static void httpClient(String base, String refused) throws Exception {
    HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
    tell("get", client.send(get(base + "/hello?a=%2f"), BodyHandlers.ofString()).body().strip());
    HttpRequest upload = at(base + "/upload").PUT(BodyPublishers.ofByteArray(BODY)).build();
    tell("upload_length", client.send(upload, BodyHandlers.ofString()).body().strip());
    HttpRequest chunked =
        at(base + "/upload").POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(BODY))).build();
    tell("upload_chunked", client.send(chunked, BodyHandlers.ofString()).body().strip());
    HttpRequest expecting =
        at(base + "/expect/accept").expectContinue(true).POST(BodyPublishers.ofByteArray(BODY)).build();
    tell("expect", client.send(expecting, BodyHandlers.ofString()).body().strip());
    HttpRequest head = at(base + "/download?bytes=12345").method("HEAD", BodyPublishers.noBody()).build();
    tell("head", client.send(head, BodyHandlers.discarding()).headers().firstValue("content-length").get());
    byte[] download = client.send(get(base + "/download?bytes=2400000"), BodyHandlers.ofByteArray()).body();
    tell("download_sha256", sha256(download));
    tell("redirect", client.send(get(base + "/redirect?to=/hello&status=307"), BodyHandlers.discarding()).statusCode());
    tell("broken_length", breaks(() -> client.send(get(base + "/reset?bytes=100000&after=50000"), BodyHandlers.ofByteArray())));
    tell("broken_chunked", breaks(() -> client.send(get(base + "/reset?chunked=1&after=50000"), BodyHandlers.ofByteArray())));
    tell("refused", refusal(() -> client.send(get(refused), BodyHandlers.ofString()).statusCode()));
  }

  static HttpRequest.Builder at(String url) {
    return HttpRequest.newBuilder(URI.create(url));
  }

  static HttpRequest get(String url) {
    return at(url).build();
  }

  static void urlConnection(String base, String refused) throws Exception {
    tell("get", new String(read(open(base + "/hello?a=%2f"))).strip());
    HttpURLConnection upload = open(base + "/upload");
    upload.setRequestMethod("PUT");
    upload.setFixedLengthStreamingMode(BODY.length);
    tell("upload_length", new String(send(upload)).strip());
    HttpURLConnection chunked = open(base + "/upload");
    chunked.setRequestMethod("POST");
    chunked.setChunkedStreamingMode(65_536);
    tell("upload_chunked", new String(send(chunked)).strip());
    HttpURLConnection head = open(base + "/download?bytes=12345");
    head.setRequestMethod("HEAD");
    tell("head", head.getContentLength());
    tell("download_sha256", sha256(read(open(base + "/download?bytes=2400000"))));
    tell("broken_length", breaks(() -> read(open(base + "/reset?bytes=100000&after=50000"))));
    tell("broken_chunked", breaks(() -> read(open(base + "/reset?chunked=1&after=50000"))));
    tell("refused", refusal(() -> open(refused).getResponseCode()));
  }

  static HttpURLConnection open(String url) throws IOException {
    return (HttpURLConnection) URI.create(url).toURL().openConnection();
  }

  static byte[] send(HttpURLConnection connection) throws IOException {
    connection.setDoOutput(true);
    try (OutputStream out = connection.getOutputStream()) {
      out.write(BODY);
    }
    return read(connection);
  }

  static byte[] read(HttpURLConnection connection) throws IOException {
    try (InputStream in = connection.getInputStream()) {
      return in.readAllBytes();
    }
  }

  interface Call {
    Object run() throws Exception;
  }

  static boolean breaks(Call call) {
    try {
      call.run();
      return false;
    } catch (Exception error) {
      return true;
    }
  }

  static Object refusal(Call call) {
    try {
      return call.run();
    } catch (Exception error) {
      return error.getMessage();
    }
  }
}
