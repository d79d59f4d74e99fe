"""Compresses text with deflate (RFC 1951) and a dictionary that writer and reader both know.

Whatever an order's updates repeat, such as its id, its route, the hash of its transaction and the
names of fields, then takes a few bytes each time. The compression is lossless.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

# Stored items can be read only with exactly this text, so it must never change. Another text needs
# another name, and each item packed with it must store that name. The most frequent text is last,
# as zlib recommends.
_KNOWN = b"".join(
    (
        b'"type":"limit""type":"stop""type":"oco""type":"twap","timeInForce":"IOC""timeInForce":"GTC"',
        b'"clientOrderId":"","parentId":"","slices":,"intervalSeconds":,"expiresAt":"',
        b'"simulate":{"fault":"venue_down","quote_timeout","dropped_transaction","attempts":}}',
        b'"status":"cancelled","status":"expired","status":"resting","status":"working","timestamp":"',
        b'"slice":1,"sliceAmount":"","slicesDone":0,"filledAmount":"","nextSliceAt":"',
        b'"trigger":"limit""trigger":"stop","limitPrice":"","stopPrice":"',
        b'"status":"failed","status":"routing","attempt":2,"nextRetryAt":"","error":{"code":"',
        b"QUOTES_UNAVAILABLE NO_ROUTES_FOUND SLIPPAGE_TOLERANCE_EXCEEDED INSUFFICIENT_LIQUIDITY ",
        b'FAILED_TO_LAND","message":"The transaction was dropped: slot  passed."}',
        b'","message":" refused with : is less than the  that the order accepts."',
        b',"networkFeeLamports":}There is no route without raydium (down) and meteora.',
        b"BONKJUPRAYmSOLJitoSOLUSDTorca-whirlpoolraydium-cpmmraydium-amm-v4",
        b'{"tokenIn":"SOL","tokenOut":"USDC","amount":"1","slippageBps":50}',
        b'{"orderId":"","sequence":1,"status":"pending","timestamp":"2026-',
        b'","sequence":2,"status":"routing","timestamp":"',
        b'","sequence":3,"status":"building","timestamp":"',
        b'","route":{"inAmount":"","outAmount":"","otherAmountThreshold":"","priceImpactPct":"0.0000',
        b'","referenceDifferenceBps":"","slippageBps":50,"routePlan":[{"venue":"',
        b'","pool":"","tokenIn":"SOL","tokenOut":"USDC","inAmount":"","outAmount":"","feeAmount":"0.0',
        b'","percent":100},{"venue":"meteora","pool":""}],"quotes":[{"venue":"raydium","outAmount":"',
        b'","priceImpactPct":"0.0000","feeAmount":"0.00"},{"venue":"meteora","outAmount":"',
        b'"},{"venue":"whirlpool","outAmount":"',
        b'"}],"reason":"raydium beats meteora beats whirlpool beats raydium by  bps; ',
        b"no split is better",
        b' whirlpool and meteora, over USDT, beats","advantageBps":"0","slot":44}}',
        b'","sequence":4,"status":"submitted","timestamp":"","txHash":"',
        b'"}\n{"orderId":"@","attempt":1,"tokenIn":"SOL","tokenOut":"USDC","amountIn":',
        b'000000,"otherAmountThreshold":,"recentSlot":,"lastValidSlot":,"legs":[["meteora","',
        b'","SOL","USDC",00000,100]],"instructions":[["ComputeBudget","SetComputeUnitLimit",150000],',
        b'["ComputeBudget","SetComputeUnitPrice",50000],',
        b'["AssociatedTokenAccount","CreateIdempotent",null],["SystemProgram","Transfer",',
        b'],["Token","SyncNative",null],["AssociatedTokenAccount","CreateIdempotent",null],',
        b'["meteora-dlmm","Swap2",0],["Token","CloseAccount",null]],"fate":"land","seed":"","version":2}',
        b'","sequence":5,"status":"confirmed","timestamp":"","txHash":"","outAmount":"","executedPrice":"',
        b'","execution":{"networkFeeLamports":12500,"quoteSlippageBps":"0","shortfallBps":"',
        b'","fills":[{"outAmount":""}]}}',
    )
)


def pack(text: str, known: Iterable[str] = ()) -> bytes:
    """The text as bytes, which can be unpacked only with the same `known` texts."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, zdict=_dictionary(known))
    return packer.compress(text.encode()) + packer.flush()


def unpack(data: bytes, known: Iterable[str] = ()) -> str:
    """The text that was packed with the same `known` texts."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_dictionary(known))
    return unpacker.decompress(data).decode()


def _dictionary(known: Iterable[str]) -> bytes:
    """The last 32 KB, because deflate can refer no further back."""
    return (_KNOWN + "".join(known).encode())[-(1 << zlib.MAX_WBITS) :]
