// Reads server-sent events as they come, a line printed for each, until one says stop: then it closes the answer and says so.
// Then a WebSocket: what is echoed, and the code that the other side closes with. It lives on until its input ends.
// Arguments: URL of the events, URL of the WebSocket
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

public class Stream {
  public static void main(String[] args) throws Exception {
    HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
    var answer = client.send(HttpRequest.newBuilder(URI.create(args[0])).build(), BodyHandlers.ofInputStream());
    var lines = new BufferedReader(new InputStreamReader(answer.body()));
    for (String line; (line = lines.readLine()) != null;) {
      if (!line.isEmpty()) System.out.println(line);
      if (line.equals("data: stop")) break;
    }
    lines.close();
    System.out.println("closed");

    var over = new CompletableFuture<Void>();
    // One send at a time: the echo can be here before the send that it answers is told to be over.
    var said = new CompletableFuture<Void>();
    var socket = client.newWebSocketBuilder().buildAsync(URI.create(args[1]), new WebSocket.Listener() {
      public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
        System.out.println("echo " + text);
        socket.request(1);
        return said.thenCompose(done -> socket.sendText("close 4001", true));
      }

      public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        System.out.println("code " + code + " " + reason);
        over.complete(null);
        return null;
      }

      public void onError(WebSocket socket, Throwable error) {
        over.completeExceptionally(error);
      }
    }).join();
    socket.sendText("from Java", true).thenRun(() -> said.complete(null));
    over.join();
    System.in.readAllBytes();
  }
}
