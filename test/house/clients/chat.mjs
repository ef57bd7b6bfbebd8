// Reads a streamed chat completion as SDKs do, prints each token, and aborts after the fourth. Argument: URL
const controller = new AbortController();
const response = await fetch(process.argv[2], {
  method: "POST",
  headers: { "content-type": "application/json", authorization: "Bearer sk-postern-stand-in" },
  body: JSON.stringify({ model: "m", stream: true, messages: [{ role: "user", content: "Tell me a story." }] }),
  signal: controller.signal,
});
let text = "";
let printed = 0;
try {
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      process.stdout.write(`${JSON.parse(event.slice("data: ".length)).choices[0].delta.content}\n`);
      if (++printed === 4) controller.abort();
    }
  }
} catch (error) {
  if (error.name !== "AbortError") throw error;
}
