// A receiver without dependencies, Java 17: WEBHOOK_SECRET=whsec_… (or the public key whpk_…) PORT=8000 java Receiver.java
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
    static final int TOLERANCE = 300; // seconds
    static final int MAX_BODY = 8 << 20;
    static final String[] SECRET = System.getenv("WEBHOOK_SECRET").split("_", 2);
    static final String VERSION = Map.of("whsec", "v1", "whpk", "v1a").get(SECRET[0]);
    static final byte[] KEY = Base64.getDecoder().decode(SECRET[1]);
    /** In production a table with a unique key, kept for three days and more. */
    static final Set<List<String>> SEEN = ConcurrentHashMap.newKeySet();
    /** In production a queue or a table that outlives the process. */
    static final ExecutorService WORK = Executors.newSingleThreadExecutor();

    /** Says why a request is not to be believed; null if it is. body: the bytes as they came. */
    static String refusal(Headers headers, byte[] body, long now) throws GeneralSecurityException {
        String id = headers.getFirst("webhook-id");
        String timestamp = headers.getFirst("webhook-timestamp");
        String signatures = headers.getFirst("webhook-signature");
        for (String one : Arrays.asList(id, timestamp, signatures)) {
            if (one == null || one.isEmpty()) return "header missing";
        }
        if (!timestamp.matches("[0-9]{1,15}")) return "timestamp is not a number";
        if (Long.parseLong(timestamp) < now - TOLERANCE) return "timestamp too old";
        if (Long.parseLong(timestamp) > now + TOLERANCE) return "timestamp ahead";
        var content = new ByteArrayOutputStream();
        content.writeBytes((id + "." + timestamp + ".").getBytes());
        content.writeBytes(body);
        boolean found = false;
        for (String one : signatures.split(" ")) { // several while a secret is rotated: one that fits is enough
            String[] parts = one.split(",", 2);
            if (parts.length == 2 && parts[0].equals(VERSION)) found |= fits(content.toByteArray(), parts[1]);
        }
        return found ? null : "no signature fits";
    }

    static boolean fits(byte[] content, String text) throws GeneralSecurityException {
        byte[] signature;
        try {
            signature = Base64.getDecoder().decode(text);
        } catch (IllegalArgumentException notBase64) {
            return false;
        }
        if (VERSION.equals("v1")) {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(KEY, "HmacSHA256"));
            return MessageDigest.isEqual(mac.doFinal(content), signature); // in constant time
        }
        var der = new ByteArrayOutputStream(); // what Java wants before an ed25519 public key
        der.writeBytes(HexFormat.of().parseHex("302a300506032b6570032100"));
        der.writeBytes(KEY);
        Signature verifier = Signature.getInstance("Ed25519");
        verifier.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(der.toByteArray())));
        verifier.update(content);
        return signature.length == 64 && verifier.verify(signature);
    }

    /** Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew. */
    static boolean isNew(Headers headers) {
        if (SEEN.size() >= 100_000) SEEN.remove(SEEN.iterator().next()); // a table forgets by age
        return SEEN.add(Arrays.asList(
            headers.getFirst("webhook-id"), headers.getFirst("planner-webhook-id"), headers.getFirst("planner-replay")));
    }

    static void handle(String json) {
        System.out.println(json); // here goes what you do with it; any JSON library reads it
    }

    static void receive(HttpExchange exchange) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1); // bytes: parsing and writing gives others
            if (body.length > MAX_BODY) {
                answer(exchange, 413, "body too large");
                return;
            }
            String why = refusal(exchange.getRequestHeaders(), body, Instant.now().getEpochSecond());
            if (why != null) {
                answer(exchange, 401, why);
                return;
            }
            if (isNew(exchange.getRequestHeaders())) WORK.submit(() -> handle(new String(body)));
            exchange.sendResponseHeaders(204, -1); // before the work is done: the sender waits 15 s at most
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        exchange.sendResponseHeaders(status, text.length());
        exchange.getResponseBody().write(text.getBytes());
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/webhooks", Receiver::receive);
        server.start();
    }
}
