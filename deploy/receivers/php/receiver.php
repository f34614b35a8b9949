<?php
// A receiver without dependencies, PHP 8 with sodium (bundled): behind PHP-FPM, or to try it
// WEBHOOK_SECRET=whsec_… (or the public key whpk_…) php -S 127.0.0.1:8000 receiver.php
declare(strict_types=1);

const TOLERANCE = 300; // seconds

/** Says why a request is not to be believed; null if it is. $body: the bytes as they came. */
function refusal(string $body, int $now): ?string
{
    [$id, $timestamp, $signatures] = [header_of('webhook-id'), header_of('webhook-timestamp'), header_of('webhook-signature')];
    if ($id === '' || $timestamp === '' || $signatures === '') return 'header missing';
    if (!preg_match('/^[0-9]{1,15}$/D', $timestamp)) return 'timestamp is not a number';
    if ((int) $timestamp < $now - TOLERANCE) return 'timestamp too old';
    if ((int) $timestamp > $now + TOLERANCE) return 'timestamp ahead';
    [$prefix, $text] = explode('_', (string) getenv('WEBHOOK_SECRET'), 2);
    $key = base64_decode($text);
    $content = "$id.$timestamp.$body";
    $fits = false;
    foreach (explode(' ', $signatures) as $one) { // several while a secret is rotated: one that fits is enough
        [$version, $signature] = [...explode(',', $one, 2), ''];
        if ($version === 'v1' && $prefix === 'whsec') {
            $fits = hash_equals(base64_encode(hash_hmac('sha256', $content, $key, true)), $signature) || $fits;
        } elseif ($version === 'v1a' && $prefix === 'whpk') {
            $bytes = (string) base64_decode($signature, true);
            $fits = (strlen($bytes) === 64 && sodium_crypto_sign_verify_detached($bytes, $content, $key)) || $fits;
        }
    }
    return $fits ? null : 'no signature fits';
}

function header_of(string $name): string
{
    return $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? '';
}

/**
 * Two webhooks with one URL get the same ids; a replay was asked for, so it counts anew.
 * Making a file that may not exist yet is atomic; a table with a unique key does as well.
 */
function is_new(): bool
{
    $folder = getenv('WEBHOOK_SEEN') ?: sys_get_temp_dir() . '/webhooks-seen';
    is_dir($folder) || @mkdir($folder, 0700, true);
    $pair = json_encode([header_of('webhook-id'), header_of('planner-webhook-id'), header_of('planner-replay')]);
    return @fopen($folder . '/' . hash('sha256', $pair), 'x') !== false; // delete those older than a week
}

function handle(array $event): void
{
    file_put_contents('php://stderr', "{$event['type']} {$event['id']}\n"); // here goes what you do with it
}

$body = file_get_contents('php://input'); // raw: $_POST is empty, and json_encode gives other bytes
$why = $_SERVER['REQUEST_METHOD'] === 'POST' ? refusal($body, time()) : 'POST only';
if ($why !== null) {
    http_response_code(401);
    header('content-type: text/plain');
    exit($why);
}
$new = is_new();
http_response_code(204); // before the work is done: the sender waits 15 s at most
if (function_exists('fastcgi_finish_request')) {
    fastcgi_finish_request(); // PHP-FPM answers now; elsewhere put the event into a queue instead
}
if ($new) {
    handle(json_decode($body, true, 512, JSON_THROW_ON_ERROR));
}
