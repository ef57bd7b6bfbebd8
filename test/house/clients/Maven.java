// What a build asks of a Maven repository: metadata, a POM and a JAR with its checksum, and to deploy one. A "name value" line each.
// Arguments: preemptive|challenged BASE_URL
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.concurrent.atomic.AtomicInteger;

public class Maven {
  static final AtomicInteger asked = new AtomicInteger();
  static HttpClient client;
  static boolean preemptive;

  public static void main(String[] args) throws Exception {
    preemptive = args[0].equals("preemptive");
    String folder = args[1] + "/maven2/org/acme/lib";
    HttpClient.Builder builder = HttpClient.newBuilder().proxy(ProxySelector.getDefault());
    // As the settings of a build say it; the guest made it up.
    if (!preemptive) builder.authenticator(new Guest());
    client = builder.build();
    tell("metadata", new String(get(folder + "/maven-metadata.xml")).contains("<release>1.0</release>"));
    tell("pom", new String(get(folder + "/1.0/lib-1.0.pom")).contains("<artifactId>lib</artifactId>"));
    byte[] jar = get(folder + "/1.0/lib-1.0.jar");
    String sha1 = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(jar));
    tell("jar", sha1.equals(new String(get(folder + "/1.0/lib-1.0.jar.sha1")).strip()));
    HttpRequest put = at(folder + "/2.0/lib-2.0.jar").PUT(BodyPublishers.ofByteArray(jar)).build();
    HttpResponse<String> deployed = client.send(put, BodyHandlers.ofString());
    tell("deploy", deployed.statusCode() + " " + deployed.headers().firstValue("x-deny-reason").orElse(""));
    tell("asked", asked);
  }

  static class Guest extends Authenticator {
    @Override
    protected PasswordAuthentication getPasswordAuthentication() {
      asked.incrementAndGet();
      return new PasswordAuthentication("guest", "made-up".toCharArray());
    }
  }

  static byte[] get(String url) throws Exception {
    HttpResponse<byte[]> response = client.send(at(url).build(), BodyHandlers.ofByteArray());
    if (response.statusCode() != 200) throw new IllegalStateException(url + " " + response.statusCode());
    return response.body();
  }

  static HttpRequest.Builder at(String url) {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
    String pair = Base64.getEncoder().encodeToString("guest:made-up".getBytes());
    return preemptive ? request.header("Authorization", "Basic " + pair) : request;
  }

  static void tell(String name, Object value) {
    System.out.println(name + " " + value);
  }
}
