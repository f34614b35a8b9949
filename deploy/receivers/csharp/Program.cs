// A receiver on ASP.NET's minimal API, .NET 8, without packages: WEBHOOK_SECRET=whsec_… PORT=8000 dotnet run
// (v1a, signed with a key pair, needs a package for ed25519, NSec.Cryptography for one.)
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;

const int Tolerance = 300; // seconds
const int MaxBody = 8 << 20;
var key = Convert.FromBase64String(Environment.GetEnvironmentVariable("WEBHOOK_SECRET")!["whsec_".Length..]);
var port = Environment.GetEnvironmentVariable("PORT") ?? "8000";

var seen = new ConcurrentDictionary<(string, string, string), bool>(); // in production a table with a unique key
var work = Channel.CreateBounded<byte[]>(1_000); // in production a queue or a table that outlives the process

// Says why a request is not to be believed; null if it is. body: the bytes as they came.
string? Refusal(IHeaderDictionary headers, byte[] body, long now)
{
    string id = headers["webhook-id"].ToString(), timestamp = headers["webhook-timestamp"].ToString();
    string signatures = headers["webhook-signature"].ToString();
    if (id == "" || timestamp == "" || signatures == "") return "header missing";
    if (timestamp.Length > 15 || !timestamp.All(char.IsAsciiDigit)) return "timestamp is not a number";
    if (long.Parse(timestamp) < now - Tolerance) return "timestamp too old";
    if (long.Parse(timestamp) > now + Tolerance) return "timestamp ahead";
    byte[] content = [.. Encoding.UTF8.GetBytes($"{id}.{timestamp}."), .. body];
    var expected = Encoding.ASCII.GetBytes("v1," + Convert.ToBase64String(HMACSHA256.HashData(key, content)));
    var fits = false;
    foreach (var one in signatures.Split(' ')) // several while a secret is rotated: one that fits is enough
        fits |= CryptographicOperations.FixedTimeEquals(expected, Encoding.UTF8.GetBytes(one));
    return fits ? null : "no signature fits";
}

// Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew.
bool IsNew(IHeaderDictionary headers)
{
    if (seen.Count >= 100_000) seen.TryRemove(seen.Keys.First(), out _); // a table forgets by age
    return seen.TryAdd(
        (headers["webhook-id"].ToString(), headers["planner-webhook-id"].ToString(), headers["planner-replay"].ToString()),
        true);
}

_ = Task.Run(async () =>
{
    await foreach (var body in work.Reader.ReadAllAsync())
    {
        using var found = JsonDocument.Parse(body);
        var root = found.RootElement; // here goes what you do with it
        Console.WriteLine($"{root.GetProperty("type").GetString()} {root.GetProperty("id").GetString()}");
    }
});

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = MaxBody);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
var app = builder.Build();
app.MapPost("/webhooks", async (HttpRequest request) => // no bound parameter: it would eat the bytes
{
    using var bytes = new MemoryStream();
    await request.Body.CopyToAsync(bytes);
    var why = Refusal(request.Headers, bytes.ToArray(), DateTimeOffset.UtcNow.ToUnixTimeSeconds());
    if (why is not null) return Results.Text(why, statusCode: 401);
    if (IsNew(request.Headers)) await work.Writer.WriteAsync(bytes.ToArray());
    return Results.NoContent(); // before the work is done: the sender waits 15 s at most
});
app.Run($"http://127.0.0.1:{port}");
