import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicInteger;

/** Sends the plan's requests with java.net.http as it is by default: one client for all threads, which offers HTTP/2. */
public class JavaClient {
    private static final Map<String, byte[]> BODIES = new HashMap<>();
    private static final AtomicInteger SENT = new AtomicInteger();
    private static final AtomicInteger SUBSCRIBED = new AtomicInteger();

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        List<String> lines = Files.readAllLines(Path.of(arguments[1]));
        for (String line : lines) {
            String body = line.split("\t")[4];
            if (!BODIES.containsKey(body)) {
                BODIES.put(body, Files.readAllBytes(Path.of(body)));
            }
        }
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
        Iterator<String> plan = lines.iterator();
        Thread[] threads = new Thread[Integer.parseInt(arguments[2])];
        for (int place = 0; place < threads.length; place++) {
            threads[place] = new Thread(() -> work(client, url, plan));
            threads[place].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("retries\t" + (SUBSCRIBED.get() - SENT.get()));
        System.exit(0);
    }

    private static void work(HttpClient client, String url, Iterator<String> plan) {
        while (true) {
            String line;
            synchronized (plan) {
                if (!plan.hasNext()) {
                    return;
                }
                line = plan.next();
            }
            String number = line.substring(0, line.indexOf('\t'));
            try {
                System.out.println(number + "\t" + send(client, url, line.split("\t")));
            } catch (IOException | InterruptedException error) {
                System.out.println(number + "\t-\t" + error.toString().replaceAll("\\s+", " "));
            }
        }
    }

    private static int send(HttpClient client, String url, String[] words) throws IOException, InterruptedException {
        byte[] body = BODIES.get(words[4]);
        BodyPublisher publisher = words[3].equals("chunked")
                ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : BodyPublishers.ofByteArray(body);
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + words[2]))
                .timeout(Duration.ofMinutes(1))
                .method(words[1], new Counting(publisher));
        for (int place = 5; place < words.length; place++) {
            String[] header = words[place].split(": ", 2);
            request.header(header[0], header[1]);
        }
        SENT.incrementAndGet();
        return client.send(request.build(), BodyHandlers.discarding()).statusCode();
    }

    /** A body that counts how often it is sent. */
    private record Counting(BodyPublisher inner) implements BodyPublisher {
        @Override
        public long contentLength() {
            return inner.contentLength();
        }

        @Override
        public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
            SUBSCRIBED.incrementAndGet();
            inner.subscribe(subscriber);
        }
    }
}
