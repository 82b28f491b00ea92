"""Which object families make up each class of waste."""

from collections.abc import Mapping
from types import MappingProxyType

from sortline.synthetic import glassware, metalware, organic, plastics, rubbish, sheets, wearables
from sortline.synthetic.scene import Draw

WASTE: Mapping[str, tuple[Draw, ...]] = MappingProxyType(
    {
        "battery": (
            metalware.cells,
            metalware.block,
            metalware.coin_cell,
            metalware.pack,
            metalware.car_battery,
        ),
        "biological": (
            organic.fruit,
            organic.core,
            organic.peel,
            organic.leaf,
            organic.bones,
            organic.egg_shells,
            organic.root_vegetable,
            organic.slice_of_fruit,
            organic.fish_bone,
        ),
        "cardboard": (
            sheets.carton,
            sheets.rolls,
            sheets.flattened,
            sheets.torn_board,
            sheets.egg_carton,
        ),
        "clothes": (
            wearables.shirt,
            wearables.trousers,
            wearables.socks,
            wearables.dress,
            wearables.cap,
            wearables.glove,
        ),
        "glass": (
            glassware.bottle,
            glassware.jar,
            glassware.tumbler,
            glassware.goblet,
            glassware.flask,
            glassware.shards,
        ),
        "metal": (metalware.can, metalware.tin, metalware.lid, metalware.foil, metalware.spray_can),
        "paper": (
            sheets.crumpled,
            sheets.newspaper,
            sheets.letter,
            sheets.envelope,
            sheets.receipt,
        ),
        "plastic": (
            plastics.drink_bottle,
            plastics.bag,
            plastics.cup,
            plastics.tub,
            plastics.jug,
            plastics.cutlery,
        ),
        "shoes": (
            wearables.sneaker,
            wearables.boot,
            wearables.high_heel,
            wearables.sandal,
            wearables.soles,
        ),
        "trash": (
            rubbish.nappy,
            rubbish.wrapper,
            rubbish.broken_plate,
            rubbish.mask,
            rubbish.toothbrush,
            rubbish.butts,
            rubbish.sponge,
            rubbish.pile,
            rubbish.bin_bag,
        ),
    }
)
"""The families of the ten classes, each drawn equally often. Their order is part of the seed."""
